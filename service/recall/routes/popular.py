"""Popular: what people look at and buy most, for those of whom nothing is known, and for those who browse.

Where nothing is known of somebody, these are the most popular items as they are. Who browses with a history
gets those of them first that are like what they looked at: each of the most popular items is worth its cosine
to the nearest item of the history, and what its popularity is worth beside that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from pydantic import Field

from artifacts.popularity import POPULARITY
from common.arrays import F32
from index.port import Neighbours, StoredVectors
from service.recall.routes.outcome import CandidateColumns, RouteOutcome, Source, reasons, rounded
from service.recall.routes.route import Earlier, Route, RouteRequest, RouteSettings

_ASKED = "there is something to search by"
_NO_INDEX = "the index does not say how popular items are"
#: Of the most popular item's popularity: below a tenth of it, worth falls as the share does; above, by its
#: logarithm. *Inferred*: clicks by popularity are spread over orders of magnitude.
_KNEE = 0.1
#: The most that any engine is asked for at once: as large as k may be.
_MOST = 10_000


class PopularSettings(RouteSettings):
    """The table ``[recall.popular]``. All values are *inferred*: the paper has no such route."""

    #: What the most popular item is worth beside a cosine to what a browsing user looked at. 0: who browses
    #: with a history that is known gets none of what is popular.
    browse_worth: float = Field(default=2.0, ge=0, le=100)
    #: Popular items that are looked at for a browse, at least; twice k where that is more, up to 10,000.
    browse_candidates: int = Field(default=200, ge=1, le=2000)


@dataclass(slots=True)
class Liked:
    """What the popular items were compared with: items of the history that the index has."""

    popular: int
    history: int


class Popular(Route[PopularSettings]):
    """Lists the most popular items that the filters accept; for a browse, as they suit its user."""

    name = "popular"
    settings = PopularSettings
    needs_query = False

    def idle(self, request: RouteRequest) -> str | None:
        """See `Route.idle`."""
        if not request.empty and not (request.browse and self.table(request).browse_worth):
            return _ASKED
        return _NO_INDEX if request.ranked is None else None

    def reads(self, request: RouteRequest) -> tuple[Sequence[str], int]:
        """See `Route.reads`."""
        return ([] if request.empty else _items(request)), 0

    async def run(self, request: RouteRequest, earlier: Earlier) -> RouteOutcome:
        """See `Route.run`."""
        assert request.ranked is not None
        if not request.empty:
            return await self._liked(request)
        found = await request.ranked.top(POPULARITY, request.k, request.filters, request.deadline)
        scores = rounded(_shares(found.scores))
        candidates = CandidateColumns(found.ids, scores, _sources(scores))
        return RouteOutcome("ok", candidates, len(candidates), found.coverage, reason=reasons([found]))

    async def _liked(self, request: RouteRequest) -> RouteOutcome:
        """The most popular items, those first that are like what the user looked at."""
        assert request.ranked is not None
        table = self.table(request)
        wanted = max(table.browse_candidates, request.k, min(2 * request.k, _MOST))
        found = await request.ranked.top(POPULARITY, wanted, request.filters, request.deadline)
        if not found.ids:
            return RouteOutcome("ok", (), 0, found.coverage, reason=reasons([found]))
        if request.first is None:
            history = await request.index.vectors(_items(request), request.deadline)
        else:
            history = await request.first.vectors(_items(request))
        shares = _shares(found.scores)
        values = table.browse_worth * np.log1p(shares / _KNEE) / math.log1p(1 / _KNEE)
        looked: list[Neighbours | StoredVectors] = [found, history]
        if history.ids:
            stored = await request.index.vectors(found.ids, request.deadline)
            looked.append(stored)
            nearest = (stored.vectors @ history.vectors.T).max(axis=1, initial=-1.0)
            cosines = dict(zip(stored.ids, nearest.tolist(), strict=True))
            # What is gone or was not reached since is like nothing.
            values = values + np.array([cosines.get(item_id, 0.0) for item_id in found.ids], dtype=np.float32)
        request.notes[self.name] = Liked(len(found.ids), len(history.ids))
        order = np.argsort(-values, kind="stable")[: request.k]
        scores = rounded(shares[order])
        candidates = CandidateColumns(
            [found.ids[place] for place in order.tolist()], rounded(values[order]), _sources(scores)
        )
        coverage = min(each.coverage for each in looked)
        return RouteOutcome("ok", candidates, len(candidates), coverage, reason=reasons(looked))

    def explain(self, note: object) -> dict[str, Any]:
        """See `Route.explain`: how many popular items were compared with how many of the history."""
        return {"popular": asdict(note)} if isinstance(note, Liked) else {}


def _shares(popularity: F32) -> F32:
    """Popularity by that of the most popular of these, 0 to 1: ``[n]`` -> ``[n]``."""
    most = float(popularity.max(initial=0.0))
    shares = popularity / most if most > 0 else np.zeros_like(popularity)
    return np.maximum(shares, 0.0)


def _sources(scores: Sequence[float]) -> list[Source]:
    return [{"route": "popular", "rank": rank, "score": score} for rank, score in enumerate(scores, start=1)]


def _items(request: RouteRequest) -> list[str]:
    """The items of the history, each once, most recent first."""
    return list(dict.fromkeys(behaviour.item_id for behaviour in request.history))
