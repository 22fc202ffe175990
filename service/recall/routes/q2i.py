"""Q2I: the nearest items of the query's embedding."""

from __future__ import annotations

from service.recall.routes.outcome import CandidateColumns, RouteOutcome, Source, reasons, rounded
from service.recall.routes.route import Earlier, Route, RouteRequest, RouteSettings, Share


class Q2ISettings(RouteSettings):
    """The table ``[recall.q2i]``. All values are *inferred*."""

    share: Share = 0.8


class Q2I(Route[Q2ISettings]):
    """Searches once, by the embedding."""

    name = "q2i"
    settings = Q2ISettings

    async def run(self, request: RouteRequest, earlier: Earlier) -> RouteOutcome:
        """See `Route.run`."""
        embedding = request.embedding
        wanted = (request.k, request.filters, request.deadline)
        if request.first is not None:
            found = (await request.first.get()).near
        elif request.common and request.kept:
            (found,) = await request.heads.search([embedding.tobytes()], [embedding], *wanted)
        else:
            (found,) = await request.index.search(embedding[None], *wanted)
        scores = rounded(found.scores)
        sources: list[Source] = [
            {"route": "q2i", "rank": rank, "score": score} for rank, score in enumerate(scores, start=1)
        ]
        candidates = CandidateColumns(found.ids, scores, sources)
        return RouteOutcome("ok", candidates, len(candidates), found.coverage, reason=reasons([found]))
