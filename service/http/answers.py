"""What answers look like: each shape is defined here, built here, and described in OpenAPI from here.

They are plain dictionaries, because orjson writes those fastest; `columnar` has the other form of the items.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from common.schema import OMITTED, OneOf, closed
from service.degraded import degraded_words, told
from service.exposures import Exposure
from service.http.checks import Target
from service.http.columnar import ItemColumns, columns
from service.http.problems import Problem
from service.http.requests import Call
from service.recall.routes.outcome import Item, RouteName, RouteOutcome, RouteStatus
from service.scope import Told


@closed
class Route(TypedDict):
    """How one route fared."""

    status: RouteStatus
    returned: Annotated[int, Field(description="Distinct items that the route found.")]
    coverage: Annotated[float, Field(description="Share of the index that was looked at.")]
    took_ms: float
    reason: NotRequired[Annotated[str | None, Field(description="Why the route fell short."), OMITTED]]


class _Answer(TypedDict):
    request_id: str
    model_version: str
    index_version: str
    variant: Annotated[dict[str, str], Field(description="Experiment to the variant that answered.")]
    routes: dict[RouteName, Route]
    partial: Annotated[bool, Field(description="Whether a route gave less than it should have.")]
    degraded: Annotated[
        list[Annotated[str, OneOf(degraded_words)]],
        Field(
            description="Each way in which the answer is less than what was asked for:\n\n"
            + told(degraded_words())
        ),
    ]
    took_ms: float
    explain: NotRequired[Annotated[dict[str, Any] | None, OMITTED]]


@closed
class RecallAnswer(_Answer):
    """The items for a request, and how they came about."""

    items: list[Item]


@closed
class ColumnarAnswer(_Answer):
    """A `RecallAnswer` with its items as columns."""

    items: ItemColumns


@closed
class SimilarAnswer(RecallAnswer):
    """The nearest items of an item."""

    item_id: str


@closed
class ColumnarSimilarAnswer(ColumnarAnswer):
    """A `SimilarAnswer` with its items as columns."""

    item_id: str


class _Entry(TypedDict):
    status: int


@closed
class BatchEntry(_Entry):
    """An answer, or why there is none."""

    answer: NotRequired[Annotated[RecallAnswer | None, OMITTED]]
    problem: NotRequired[Annotated[Problem | None, OMITTED]]


@closed
class ColumnarBatchEntry(_Entry):
    """A `BatchEntry` with its items as columns."""

    answer: NotRequired[Annotated[ColumnarAnswer | None, OMITTED]]
    problem: NotRequired[Annotated[Problem | None, OMITTED]]


@closed
class BatchAnswer(TypedDict):
    """The answers in the order of the requests."""

    request_id: str
    results: list[BatchEntry]
    took_ms: float


@closed
class ColumnarBatchAnswer(TypedDict):
    """A `BatchAnswer` with its items as columns."""

    request_id: str
    results: list[ColumnarBatchEntry]
    took_ms: float


def recall_answer(
    call: Call,
    request_id: str,
    target: Target,
    *,
    items: Sequence[Item],
    routes: Mapping[str, RouteOutcome],
    degraded: Sequence[str],
    told: Told,
    words: str,
) -> RecallAnswer:
    """What every answer with items tells; a `ColumnarAnswer` where the client asked for one.

    What metrics and log tell of it is noted in ``told``. It is logged as an exposure where that is wanted;
    ``words`` are what was asked for: the query's, in normal form, or an item.
    """
    told.routes = {name: each.status for name, each in routes.items() if each.status != "skipped"}
    told.partial = any(outcome.short for outcome in routes.values())
    told.degraded, told.items = degraded, len(items)
    form: Any = columns(items) if call.columnar else items
    answer: RecallAnswer = {
        "request_id": request_id,
        "model_version": target.deployment.bundle.version,
        "index_version": target.deployment.index.version,
        "variant": target.assignment.arms,
        "items": form,
        "routes": {name: _route(outcome) for name, outcome in routes.items()},
        "partial": told.partial,
        "degraded": list(degraded),
        "took_ms": call.took_ms(),
    }
    exposures = call.runtime.exposures
    if exposures.on:
        exposure = Exposure(
            time.time(),
            request_id,
            target.unit,
            words,
            target.assignment,
            answer["model_version"],
            answer["index_version"],
            items,
            routes,
            answer["partial"],
            answer["degraded"],
            answer["took_ms"],
        )
        # When the answer is on its way, which nothing suspends until it is sent.
        asyncio.get_running_loop().call_soon(exposures.offer, exposure)
    return answer


def _route(outcome: RouteOutcome) -> Route:
    ran = outcome.took_ms > 0 or outcome.returned
    return _told_of(outcome) if ran else _left_out(outcome.status, outcome.coverage, outcome.reason)


@lru_cache(maxsize=64)
def _left_out(status: RouteStatus, coverage: float, reason: str | None) -> Route:
    """Nobody changes what is told of a route that was not run, so all answers share it."""
    return _told_of(RouteOutcome(status, coverage=coverage, reason=reason))


def _told_of(outcome: RouteOutcome) -> Route:
    answer: Route = {
        "status": outcome.status,
        "returned": outcome.returned,
        "coverage": outcome.coverage,
        "took_ms": round(outcome.took_ms, 3),
    }
    if outcome.reason is not None:
        answer["reason"] = outcome.reason
    return answer
