"""The table ``[recall]``: how the routes' items are merged, and a table for each route."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from service.recall.routes import ROUTES
from service.recall.routes.route import Route, RouteSettings

MergeMethod = Literal["score", "rrf"]


class Recall(BaseModel):
    """How items are recalled and merged; `composed_recall` adds the routes' tables, such as ``[recall.i2i]``.

    All values are *inferred*: the paper gives none of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    #: Names of the routes that have a table here.
    routes: ClassVar[tuple[str, ...]] = ()

    merge: MergeMethod = "score"
    #: Constant of reciprocal-rank fusion.
    rrf_k: int = Field(default=60, ge=1)

    @cached_property
    def tables(self) -> dict[str, RouteSettings]:
        """Each route's table, by its name."""
        return {name: getattr(self, name) for name in self.routes}

    def changed(self, *changes: Mapping[str, Any]) -> Recall:
        """The options with changes to some keys, one after the other, also to keys within a route's table.

        Raises:
            ValidationError: there is no such key, or a value is out of its bounds.
        """
        values = self.model_dump()
        for change in changes:
            values = merged(values, change)
        return self.model_validate(values)

    @model_validator(mode="after")
    def _shares(self) -> Recall:
        shares = {name: table.share for name, table in self.tables.items()}
        if sum(shares.values()) > 1.0 + 1e-9:
            listed = " + ".join(f"{name}.share {share:g}" for name, share in shares.items())
            raise ValueError(f"the routes' shares of an answer are above 1: {listed}")
        return self


def composed_recall() -> type[Recall]:
    """`Recall` with a table for each route that is registered, those of extensions among them."""
    return _compose(tuple(ROUTES.values()))


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Tables with changes put in, also deep in tables of tables."""
    result = dict(values)
    for key, change in changes.items():
        before = result.get(key)
        if isinstance(before, Mapping) and isinstance(change, Mapping):
            change = merged(before, change)
        result[key] = change
    return result


@cache
def _compose(routes: tuple[Route[Any], ...]) -> type[Recall]:
    tables: dict[str, Any] = {route.name: (route.settings, route.settings()) for route in routes}
    composed = create_model("Recall", __base__=Recall, __doc__=Recall.__doc__, **tables)
    composed.routes = tuple(tables)
    return composed
