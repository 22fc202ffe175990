"""P2I: the items whose pictures are nearest to the query's picture.

The query's embedding holds what a picture is of; the picture feature also holds which one it is. So the photo
of an item finds that item, where Q2I finds its kind.
"""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field

from common.arrays import F32
from service.recall.routes.outcome import CandidateColumns, RouteOutcome, Source, reasons, rounded
from service.recall.routes.route import Earlier, Route, RouteRequest, RouteSettings, Share

_NO_PICTURE = "no picture"
_NO_INDEX = "the index holds no picture features"


class P2ISettings(RouteSettings):
    """The table ``[recall.p2i]``. All values are *inferred*."""

    shed_at: Share | None = 0.5
    #: Candidates that the route returns, as a share of k; all k where `mrse calibrate` fitted a curve for it.
    candidates: Share = 0.3
    #: Least cosine between two pictures for an item to be a candidate. How near the right one lies depends on
    #: the encoder and the photos: a fitted curve says it instead.
    floor: float = Field(default=0.8, ge=-1, le=1)
    #: Under ``merge = "score"`` an item is worth 1 - steepness x (1 - cosine): what a picture is less alike
    #: counts so many times.
    steepness: float = Field(default=4.0, ge=0, le=100)


class P2I(Route[P2ISettings]):
    """Searches once, by the picture feature."""

    name = "p2i"
    settings = P2ISettings

    def wanted(self, request: RouteRequest) -> bool:
        """See `Route.wanted`."""
        return request.photos is not None and request.pictured

    def idle(self, request: RouteRequest) -> str | None:
        """See `Route.idle`."""
        if request.photos is None:
            return _NO_INDEX
        return _NO_PICTURE if request.photo is None else None

    async def run(self, request: RouteRequest, earlier: Earlier) -> RouteOutcome:
        """See `Route.run`."""
        table = self.table(request)
        assert request.photos is not None
        assert request.photo is not None
        # A curve that was fitted says what each is worth, so that neither number nor floor has to.
        judged = self.name in request.judged
        wanted = max(1, math.ceil((1.0 if judged else table.candidates) * request.k))
        (found,) = await request.photos.search_pictures(
            request.photo[None], wanted, request.filters, request.deadline
        )
        floor = -1.0 if judged else table.floor
        kept = int(np.count_nonzero(found.scores >= floor))  # best first
        cosines: F32 = found.scores[:kept]
        sources: list[Source] = [
            {"route": "p2i", "rank": rank, "score": score} for rank, score in enumerate(rounded(cosines), 1)
        ]
        values = rounded(1.0 - table.steepness * (1.0 - cosines))
        candidates = CandidateColumns(found.ids[:kept], values, sources)
        return RouteOutcome("ok", candidates, kept, found.coverage, reason=reasons([found]))
