"""Lexical: items that have the query's words in their texts, by BM25."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from pydantic import Field

from common.arrays import F32
from service.recall.routes.outcome import CandidateColumns, RouteOutcome, Source, reasons
from service.recall.routes.route import Earlier, Route, RouteRequest, RouteSettings


class LexicalSettings(RouteSettings):
    """The table ``[recall.lexical]``. All values are *inferred*: the paper has no such route."""

    #: Off: it changes answers, and takes an index that holds texts.
    enabled: bool = False
    #: BM25 that counts as much as a cosine of 0.5 under ``merge = "score"``; twice as much counts as 0.67.
    half: float = Field(default=10.0, gt=0)


@dataclass(slots=True)
class Found:
    """What the words found: how many items, and the BM25 of the first and the last."""

    items: int
    best: float | None = None
    last: float | None = None


class Lexical(Route[LexicalSettings]):
    """Searches once, by the query's words."""

    name = "lexical"
    settings = LexicalSettings

    async def run(self, request: RouteRequest, earlier: Earlier) -> RouteOutcome:
        """See `Route.run`."""
        if request.lexical is None:
            return RouteOutcome("skipped", reason="the index holds no texts")
        if not request.text:
            return RouteOutcome("skipped", reason="no words to search by")
        (found,) = await request.lexical.search_text(
            [request.text], request.k, request.filters, request.deadline
        )
        scores = _shown(found.scores)
        # A score has no upper end: what is twice as high is not twice as near.
        values = _shown(found.scores / (found.scores + self.table(request).half))
        sources: list[Source] = [
            {"route": "lexical", "rank": rank, "score": score} for rank, score in enumerate(scores, start=1)
        ]
        candidates = CandidateColumns(found.ids, values, sources)
        ends = (scores[0], scores[-1]) if scores else ()
        request.notes[self.name] = Found(len(candidates), *ends)
        return RouteOutcome("ok", candidates, len(candidates), found.coverage, reason=reasons([found]))

    def explain(self, note: object) -> dict[str, Any]:
        """See `Route.explain`: how many items have the words, and how much these are worth there."""
        return {"lexical": asdict(note) if isinstance(note, Found) else None}


def _shown(scores: F32) -> list[float]:
    """Four digits behind the point, as scores are shown."""
    values: list[float] = scores.astype(np.float64).round(4).tolist()
    return values
