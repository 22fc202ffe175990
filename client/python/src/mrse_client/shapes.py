"""Requests and answers as they are on the wire: plain dictionaries.

So an answer of hundreds of items costs no more than reading its JSON. The OpenAPI document of the service
says what each field means.
"""

from typing import Any, Literal, NotRequired, Required, TypedDict


class HistoryEntry(TypedDict):
    """One thing that the user did; ``ts`` is ISO 8601 with a time zone."""

    item_id: str
    action: str
    ts: NotRequired[str | None]


class Boost(TypedDict, total=False):
    """More or less for items by a numeric attribute."""

    attribute: Required[str]
    weight: Required[float]
    shape: Literal["linear", "log", "newness"]
    low: float
    high: float
    half_life_days: float


class Diversity(TypedDict):
    """At most so many items of one value of an attribute."""

    attribute: str
    most: int


class RecallRequest(TypedDict, total=False):
    """A query, a picture (base64 of a JPEG or PNG), a history, or any of them together."""

    query: str
    user_id: str | None
    session_id: str | None
    history: list[HistoryEntry]
    k: int
    filters: dict[str, Any]
    picture: str | None
    timeout_ms: int | None
    weights: dict[str, float] | None
    boosts: list[Boost] | None
    diversity: Diversity | None
    fields: list[str]
    explain: bool


class SimilarQuery(TypedDict, total=False):
    """How many items like an item, and which."""

    k: int
    filters: dict[str, Any]
    timeout_ms: int
    user_id: str
    session_id: str


class Source(TypedDict):
    """How one route found an item."""

    route: str
    trigger: NotRequired[str | None]
    rank: int
    score: float


class Item(TypedDict):
    """An item of an answer."""

    item_id: str
    score: float
    sources: list[Source]
    pinned: NotRequired[bool | None]
    fields: NotRequired[dict[str, Any] | None]
    team: NotRequired[str | None]


class Route(TypedDict):
    """How one route fared."""

    status: str
    returned: int
    coverage: float
    took_ms: float
    reason: NotRequired[str | None]


class RecallAnswer(TypedDict):
    """Items, best first, and how they came about.

    ``degraded`` names each way in which they are less than what was asked for.
    """

    request_id: str
    model_version: str
    index_version: str
    variant: dict[str, str]
    routes: dict[str, Route]
    partial: bool
    degraded: list[str]
    took_ms: float
    explain: NotRequired[dict[str, Any] | None]
    items: list[Item]


class SimilarAnswer(RecallAnswer):
    """The nearest items of an item."""

    item_id: str


class BatchEntry(TypedDict):
    """An answer, or the problem why there is none."""

    status: int
    answer: NotRequired[RecallAnswer | None]
    problem: NotRequired[dict[str, Any] | None]


class BatchAnswer(TypedDict):
    """The answers in the order of the requests."""

    request_id: str
    results: list[BatchEntry]
    took_ms: float


class ItemRow(TypedDict, total=False):
    """An item by content; ``picture`` is base64 of a JPEG or PNG."""

    title: str
    category: str
    description: str
    attributes: dict[str, Any]
    picture: str | None


class NewItem(ItemRow, total=False):
    """An item with its id."""

    id: Required[str]


class PutItems(TypedDict):
    """How many items are in the next answer, and which were refused and why."""

    written: int
    refused: list[dict[str, Any]]
    towers: dict[str, Any]
    took_ms: float


class Changed(TypedDict):
    """What is on disk now; ``unknown`` are ids that no arm has."""

    written: int
    unknown: list[str]
    towers: dict[str, Any]


class Event(TypedDict):
    """One thing that a user did; with ``ts`` an event that is sent twice counts once."""

    user_id: str
    item_id: str
    action: str
    ts: NotRequired[str | None]


class TakenEvents(TypedDict):
    """How many events are in the stream now, and which were refused and why."""

    taken: int
    unknown: list[str] | None
    refused: list[dict[str, Any]]
