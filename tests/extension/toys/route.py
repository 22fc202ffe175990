"""Favourites: always the same items, as a list in its table says; it is shed first."""

from __future__ import annotations

from typing import Any

from service.recall.routes import register
from service.recall.routes.outcome import Candidate, RouteOutcome
from service.recall.routes.route import Earlier, Route, RouteRequest, RouteSettings, Share


class FavouritesSettings(RouteSettings):
    share: Share = 0.2
    shed_at: Share | None = 0.1
    items: tuple[str, ...] = ()


class Favourites(Route[FavouritesSettings]):
    name = "favourites"
    settings = FavouritesSettings

    async def run(self, request: RouteRequest, earlier: Earlier) -> RouteOutcome:
        items = self.table(request).items
        request.notes[self.name] = len(items)
        candidates = [
            Candidate(item_id, 0.0, {"route": "favourites", "rank": rank, "score": 0.0})
            for rank, item_id in enumerate(items, start=1)
        ]
        return RouteOutcome("ok", candidates, len(candidates), 1.0)

    def explain(self, note: object) -> dict[str, Any]:
        return {"favourites": note}


register(Favourites())
