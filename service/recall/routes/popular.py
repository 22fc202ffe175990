"""Popular: what people look at and buy most, for those of whom nothing is known.

It runs where there is nothing else to search by: no words, no picture and no history that is known.
"""

from __future__ import annotations

import numpy as np

from artifacts.popularity import POPULARITY
from service.recall.routes.outcome import RouteOutcome, Source, make_candidates, reasons, rounded
from service.recall.routes.route import Earlier, Route, RouteRequest, RouteSettings

_ASKED = "there is something to search by"
_NO_INDEX = "the index does not say how popular items are"


class PopularSettings(RouteSettings):
    """The table ``[recall.popular]``."""


class Popular(Route[PopularSettings]):
    """Lists the most popular items that the filters accept."""

    name = "popular"
    settings = PopularSettings
    needs_query = False

    def idle(self, request: RouteRequest) -> str | None:
        """See `Route.idle`."""
        if not request.empty:
            return _ASKED
        return _NO_INDEX if request.ranked is None else None

    async def run(self, request: RouteRequest, earlier: Earlier) -> RouteOutcome:
        """See `Route.run`."""
        assert request.ranked is not None
        found = await request.ranked.top(POPULARITY, request.k, request.filters, request.deadline)
        # A score of 1 is the most popular of these; half as popular is half of it.
        most = float(found.scores.max(initial=0.0))
        shares = found.scores / most if most > 0 else np.zeros_like(found.scores)
        scores = rounded(np.maximum(shares, 0.0))
        sources: list[Source] = [
            {"route": "popular", "rank": rank, "score": score} for rank, score in enumerate(scores, start=1)
        ]
        candidates = make_candidates(found.ids, scores, sources)
        return RouteOutcome("ok", candidates, len(candidates), found.coverage, reason=reasons([found]))
