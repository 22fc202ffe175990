"""Bodies and query strings of requests to the recall API, as they are parsed and as OpenAPI shows them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, FailFast, Field

from artifacts.actions import ACTIONS
from common.schema import OneOf
from service.recall.boosts import MAX_BOOSTS, Boost
from service.recall.controls.asked import MAX_FIELDS, NONE, Controls
from service.recall.diversity import Diversity
from service.recall.routes.outcome import RouteName
from service.recall.routes.route import Weight

#: The largest k that the settings allow. Schemas tell it, and leave the check to `choose_target`, which knows
#: what is set: a client is told one limit.
MAX_K = 10_000
MAX_PICTURE_TEXT = 64 * 1024 * 1024

ItemId = Annotated[str, Field(min_length=1, max_length=128)]
Filters = dict[str, Any]

FILTERS_EXAMPLE: dict[str, Any] = {"category": ["shoes"], "price": {"lte": 80}, "in_stock": True}


class _Strict(BaseModel):
    # Built when the first request comes: by then extensions have registered their event actions.
    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)


class HistoryEntry(_Strict):
    """One thing that the user did."""

    item_id: ItemId
    action: Annotated[str, OneOf(ACTIONS.final_behaviours)]
    ts: AwareDatetime | None = Field(
        default=None, description="ISO 8601 with a time zone; without it the behaviour counts as just now."
    )


class RecallRequest(_Strict):
    """A query, a picture, a history, or any of them together.

    None of them is needed: the answer is then what is popular. Where the index does not say how popular items
    are, it is empty, with `nothing_to_search_by` in `degraded`.
    """

    query: str = Field(default="", max_length=512, description="May be empty with a history or a picture.")
    user_id: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        default=None,
        description="Keeps a user in the same variant of each experiment. Without a history, the one that "
        "`mrse produce` stored for the user is used.",
    )
    session_id: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        default=None,
        description="Keeps a session in the same variants where there is no user. Without either each "
        "request draws its own.",
    )
    # Made anew for each request: pydantic would copy a default that can change, which takes a µs.
    history: Annotated[list[HistoryEntry], FailFast()] = Field(
        default_factory=list, max_length=200, description="In any order.", json_schema_extra={"default": []}
    )
    k: int = Field(default=200, ge=1, description="Items wanted.", json_schema_extra={"maximum": MAX_K})
    filters: Filters = Field(
        default_factory=dict,
        json_schema_extra={"default": {}},
        description="Attribute to a value, a list (any of), or an object of gt, gte, lt, lte, not.",
    )
    picture: str | None = Field(
        default=None, min_length=1, max_length=MAX_PICTURE_TEXT, description="A JPEG or PNG in base64."
    )
    timeout_ms: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Covers the whole request, from its first byte on, waiting included.",
    )
    weights: dict[RouteName, Weight] | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Factors on what the items of routes are worth, by route; 0 leaves a route out. Others "
        "keep that of the settings.",
    )
    boosts: list[Boost] | None = Field(
        default=None,
        max_length=MAX_BOOSTS,
        description="More or less for items by numeric attributes, in place of the settings' boosts.",
    )
    diversity: Diversity | None = Field(
        default=None, description="At most so many items of one value of an attribute."
    )
    fields: Annotated[list[str], FailFast()] = Field(
        default_factory=list,
        max_length=MAX_FIELDS,
        json_schema_extra={"default": []},
        description="Attributes to return with the items; and `title`, of which 512 characters come at most. "
        "Other strings come as filters compare them, in lower case (`Acme` as `acme`): a page that shows "
        "them takes them from the shop's own data.",
    )
    explain: bool = Field(default=False, description="Tell how the answer came about.")

    @property
    def controls(self) -> Controls:
        """What it asks for beside its query."""
        if self.weights is None and self.boosts is None and self.diversity is None and not self.fields:
            return NONE
        return Controls(self.weights, self.boosts, self.diversity, tuple(dict.fromkeys(self.fields)))


class BatchRequest(_Strict):
    """Several requests at once; they share nothing but the connection."""

    requests: Annotated[list[RecallRequest], FailFast()] = Field(min_length=1, max_length=1024)


class BatchEnvelope(_Strict):
    """A batch whose requests are parsed one by one."""

    requests: list[Any] = Field(min_length=1, max_length=1024)


class SimilarQuery(BaseModel):
    """Query string of ``/items/{item_id}/similar``; ``filters`` is JSON there."""

    model_config = ConfigDict(extra="forbid")

    k: int = Field(default=50, ge=1, json_schema_extra={"maximum": MAX_K})
    filters: Filters = Field(default={})
    timeout_ms: int | None = Field(default=None, ge=1, le=10_000)
    user_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    session_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None


REQUEST_EXAMPLES: dict[str, dict[str, Any]] = {
    "query": {"summary": "A query alone", "value": {"query": "red running shoes", "k": 20}},
    "personal": {
        "summary": "A query of a user with a history and filters",
        "value": {
            "query": "red running shoes",
            "user_id": "u42",
            "history": [{"item_id": "i9", "action": "click", "ts": "2026-11-19T10:00:00Z"}],
            "k": 200,
            "filters": FILTERS_EXAMPLE,
            "timeout_ms": 80,
            "explain": False,
        },
    },
    "shop": {
        "summary": "Cheaper items first, at most two of a brand, prices with the items",
        "value": {
            "query": "red running shoes",
            "k": 20,
            "weights": {"i2i": 0.5},
            "boosts": [{"attribute": "price", "weight": -0.1, "shape": "log", "high": 1000}],
            "diversity": {"attribute": "brand", "most": 2},
            "fields": ["brand", "price"],
        },
    },
    "browse": {
        "summary": "No query: by the history alone",
        "value": {"query": "", "history": [{"item_id": "i9", "action": "order"}], "k": 20},
    },
}
BATCH_EXAMPLES: dict[str, dict[str, Any]] = {
    "two": {
        "summary": "Two requests",
        "value": {"requests": [{"query": "red running shoes", "k": 10}, {"query": "rain jacket", "k": 10}]},
    }
}
