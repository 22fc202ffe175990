"""U2I: the nearest items of the user's interests, several vectors searched side by side.

A user who browses asks for nothing, and likes more than one kind of item: one vector would lie between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from index.port import Neighbours
from service.recall.routes.outcome import Candidate, RouteOutcome, Source, reasons, rounded
from service.recall.routes.route import Earlier, Route, RouteRequest, RouteSettings

_NO_HISTORY = "no history"
_NO_INTERESTS = "the bundle gives no interests"
_ASKED = "the query asks for something"


class U2ISettings(RouteSettings):
    """The table ``[recall.u2i]``. All values are *inferred*: the paper has no such route."""

    #: Pull of the history from which on the route runs for a query with words or a picture too: a broad one,
    #: which the history turns most. None: it runs for browsing alone.
    weak_pull: float | None = Field(default=None, ge=0, le=1)
    #: Added to the cosine between an item and the nearest interest, for ``merge = "score"``: 0 where both
    #: kinds of cosine mean the same.
    bonus: float = Field(default=0.0, ge=-1, le=1)


@dataclass(slots=True)
class Searched:
    """What the interests found: items of each."""

    counts: Sequence[int] = ()


class U2I(Route[U2ISettings]):
    """Searches by all interests in one call; an item counts by the interest that is nearest to it."""

    name = "u2i"
    settings = U2ISettings

    def idle(self, request: RouteRequest) -> str | None:
        """See `Route.idle`."""
        if request.common:
            return _NO_HISTORY
        if request.interests is None:
            return _NO_INTERESTS
        weak = self.table(request).weak_pull
        if not request.browse and (weak is None or request.pull < weak):
            return _ASKED
        return None

    async def run(self, request: RouteRequest, earlier: Earlier) -> RouteOutcome:
        """See `Route.run`."""
        interests = request.interests
        assert interests is not None
        found = await request.index.search(interests, request.k, request.filters, request.deadline)
        request.notes[self.name] = Searched([len(near.ids) for near in found])
        candidates = _best(found, request.k, self.table(request).bonus)
        coverage = min((near.coverage for near in found), default=0.0)
        return RouteOutcome("ok", candidates, len(candidates), coverage, reason=reasons(found))

    def explain(self, note: object) -> dict[str, Any]:
        """See `Route.explain`: how many items each interest found."""
        return {"interests": list(note.counts)} if isinstance(note, Searched) else {}


def _best(found: Sequence[Neighbours], k: int, bonus: float) -> list[Candidate]:
    """At most ``k`` items, each at its nearest interest, best first; equal ones in the order of their ids."""
    best: dict[str, tuple[float, int]] = {}
    for near in found:
        for rank, (item_id, score) in enumerate(zip(near.ids, rounded(near.scores), strict=True), start=1):
            if item_id not in best or score > best[item_id][0]:
                best[item_id] = score, rank
    ranked = sorted(best.items(), key=lambda row: (-row[1][0], row[0]))[:k]
    candidates = []
    for item_id, (score, rank) in ranked:
        source: Source = {"route": "u2i", "rank": rank, "score": score}
        candidates.append(Candidate(item_id, score + bonus, source))
    return candidates
