"""The routes: the ways in which items are found for a query, one file each.

::

    route        what a route is, its table of settings, the request that it gets
    outcome      what a route gives back
    q2i          nearest items of the query's embedding
    i2i          nearest items of triggers, which `triggers` chooses
    lexical      items that have the query's words
    u2i          nearest items of the user's interests, for browsing
    p2i          nearest items of the query's picture
    popular      the most popular items, where there is nothing to search by
    neighbours   nearest items that are known until the index changes

To add a route, write a file with a `Route` in it and add it to the list below; an extension
(`common.extensions`) registers its own with `register`. Settings, metrics, schemas and ``explain`` take the
names from here.
"""

from __future__ import annotations

from typing import Any

from service.recall.routes.i2i import I2I
from service.recall.routes.lexical import Lexical
from service.recall.routes.p2i import P2I
from service.recall.routes.popular import Popular
from service.recall.routes.q2i import Q2I
from service.recall.routes.route import Route
from service.recall.routes.u2i import U2I

#: By name, in the order in which their items are merged. A route can wait for what those before it found.
ROUTES: dict[str, Route[Any]] = {
    route.name: route for route in (Q2I(), I2I(), Lexical(), U2I(), P2I(), Popular())
}


def register(route: Route[Any]) -> None:
    """Add a route behind the others, or replace the one of its name; before settings are read."""
    ROUTES[route.name] = route
