"""What goes over the wire. Requests are parsed with these; answers are written by `service.http.answers`
as plain values, and these describe them in the OpenAPI document and check them in the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from artifacts.actions import ACTIONS

#: Above every limit that the settings allow; the configured limits are checked after parsing.
MAX_K = 10_000
MAX_PICTURE_TEXT = 64 * 1024 * 1024

ItemId = Annotated[str, Field(min_length=1, max_length=128)]
Filters = dict[str, Any]

FILTERS_EXAMPLE: dict[str, Any] = {"category": ["shoes"], "price": {"lte": 80}, "in_stock": True}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


if TYPE_CHECKING:
    BehaviourName = str
else:
    BehaviourName = Literal[ACTIONS.final_behaviours()]


class HistoryEntry(_Strict):
    """One thing that the user did."""

    item_id: ItemId
    action: BehaviourName
    ts: AwareDatetime | None = Field(
        default=None, description="ISO 8601 with a time zone; without it the behaviour counts as just now."
    )


class RecallRequest(_Strict):
    """A query, a picture, a history, or any of them together."""

    query: str = Field(default="", max_length=512, description="May be empty with a history or a picture.")
    user_id: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        default=None,
        description="Keeps a user in the same variant of each experiment. Without a history, the one that "
        "`mrse produce` stored for the user is used.",
    )
    history: list[HistoryEntry] = Field(default=[], max_length=200, description="In any order.")
    k: int = Field(default=200, ge=1, le=MAX_K, description="Items wanted.")
    filters: Filters = Field(
        default={},
        description="Attribute to a value, a list (any of), or an object of gt, gte, lt, lte, not.",
    )
    picture: str | None = Field(
        default=None, min_length=1, max_length=MAX_PICTURE_TEXT, description="A JPEG or PNG in base64."
    )
    timeout_ms: int | None = Field(default=None, ge=1, le=10_000, description="Covers the whole request.")
    explain: bool = Field(default=False, description="Tell how the answer came about.")


class BatchRequest(_Strict):
    """Several requests at once; they share nothing but the connection."""

    requests: list[RecallRequest] = Field(min_length=1, max_length=1024)


class SimilarQuery(BaseModel):
    """Query string of ``/items/{item_id}/similar``; ``filters`` is JSON there."""

    model_config = ConfigDict(extra="forbid")

    k: int = Field(default=50, ge=1, le=MAX_K)
    filters: Filters = Field(default={})
    timeout_ms: int | None = Field(default=None, ge=1, le=10_000)


class Source(_Strict):
    """How one route found an item."""

    route: Literal["q2i", "i2i"]
    trigger: str | None = Field(default=None, description="I2I: the item whose neighbour this is.")
    rank: int = Field(description="Place among the results of this route and trigger, from 1.")
    score: float = Field(description="Cosine to the query (q2i) or to the trigger (i2i).")


class Item(_Strict):
    """An item of the answer."""

    item_id: str
    score: float = Field(
        description="Higher is better, comparable within one answer. With merge=score the best of the cosine "
        "to the query and I2I's calibrated path score; with merge=rrf the sum of reciprocal ranks."
    )
    sources: list[Source]


class SourceColumns(_Strict):
    """All sources of all items as columns, in the order of the items; a row is one source."""

    item: list[int] = Field(description="Place of the source's item in `item_id`, from 0.")
    route: list[Literal["q2i", "i2i"]]
    trigger: list[str | None] = Field(description="null for q2i.")
    rank: list[int]
    score: list[float]


class ItemColumns(_Strict):
    """The items of an answer as columns, best first; the fields are those of `Item` and `Source`."""

    item_id: list[str]
    score: list[float]
    sources: SourceColumns


class Route(_Strict):
    """How one route fared."""

    status: Literal["ok", "timeout", "error", "skipped", "shed"]
    returned: int = Field(description="Distinct items that the route found.")
    coverage: float = Field(description="Share of the index that was looked at.")
    took_ms: float
    reason: str | None = Field(default=None, description="Why the route fell short.")


class _Answer(_Strict):
    request_id: str
    model_version: str
    index_version: str
    variant: dict[str, str] = Field(description="Experiment to the variant that answered.")
    routes: dict[Literal["q2i", "i2i"], Route]
    partial: bool = Field(description="Whether a route gave less than it should have.")
    degraded: list[str] = Field(description="What was left out and why, as short codes.")
    took_ms: float
    explain: dict[str, Any] | None = None


class RecallAnswer(_Answer):
    """The items for a request, and how they came about."""

    items: list[Item]


class ColumnarAnswer(_Answer):
    """A `RecallAnswer` with its items as columns."""

    items: ItemColumns


class SimilarAnswer(RecallAnswer):
    """The nearest items of an item."""

    item_id: str


class ColumnarSimilarAnswer(ColumnarAnswer):
    """A `SimilarAnswer` with its items as columns."""

    item_id: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="forbid")

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    request_id: str | None = None
    errors: list[FieldProblem] | None = None


class FieldProblem(BaseModel):
    """One field that cannot be used."""

    field: str
    reason: str


class BatchEntry(BaseModel):
    """An answer, or why there is none."""

    model_config = ConfigDict(extra="forbid")

    status: int
    answer: RecallAnswer | None = None
    problem: Problem | None = None


class BatchAnswer(_Strict):
    """The answers in the order of the requests."""

    request_id: str
    results: list[BatchEntry]
    took_ms: float


class ColumnarBatchEntry(BatchEntry):
    """A `BatchEntry` with its items as columns."""

    answer: ColumnarAnswer | None = None  # type: ignore[assignment]  # a sibling of what stands there


class ColumnarBatchAnswer(BatchAnswer):
    """A `BatchAnswer` with its items as columns."""

    results: list[ColumnarBatchEntry]  # type: ignore[assignment]


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
