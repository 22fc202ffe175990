"""``GET /items/{item_id}/similar``: I2I alone."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import Request, Response
from pydantic import ValidationError

from service.errors import FieldError
from service.http import documentation as docs
from service.http.answers import ColumnarSimilarAnswer, SimilarAnswer, recall_answer
from service.http.checks import choose_target, unit_of
from service.http.cost import query_parameters
from service.http.problems import invalid_request
from service.http.requests import Call
from service.http.routing import RawRoute
from service.http.schemas import FILTERS_EXAMPLE, SimilarQuery
from service.recall.routes.outcome import Item
from service.recall.similar import similar
from service.scope import TOLD, Told

_MAX_ITEM_ID = 128


async def get_similar(request: Request) -> Response:
    """The nearest items of an item."""
    call = Call(request)
    item_id: str = request.path_params["item_id"]
    if not 1 <= len(item_id) <= _MAX_ITEM_ID:
        raise FieldError("item_id", f"must have 1 to {_MAX_ITEM_ID} characters")
    wanted = _parse(request)
    await call.turn()
    with call.enter():
        unit = unit_of(call, wanted.user_id, wanted.session_id, item_id, call.request_id)
        target = choose_target(call, unit, wanted.k, wanted.filters)
        told = request.scope[TOLD] = Told(target.assignment.arms, call.own_deadline(wanted.timeout_ms))
        index, deadline = target.deployment.index, call.deadline(wanted.timeout_ms)
        bans = (await call.runtime.recaller.ruling("", target.assignment.recall, deadline)).bans
        work = similar(index, item_id, wanted.k, target.filters, deadline, bans)
        outcome, banned = await call.unless_gone(work)
    if banned:
        call.runtime.metrics.controls(("bans",))
    items: list[Item] = [
        {"item_id": other, "score": value, "sources": [source]} for other, value, source in outcome.candidates
    ]
    degraded = ["i2i_coverage"] if outcome.short else []
    routes = {"i2i": outcome}
    found = recall_answer(
        call,
        call.request_id,
        target,
        items=items,
        routes=routes,
        degraded=degraded,
        words=f"item:{item_id}",
        told=told,
    )
    answer: SimilarAnswer = {"request_id": call.request_id, "item_id": item_id, **found}
    return call.answer(answer, target.assignment.header)


def _parse(request: Request) -> SimilarQuery:
    values: dict[str, Any] = dict(query_parameters(request))
    if "filters" in values:
        try:
            values["filters"] = orjson.loads(values["filters"])
        except ValueError as error:
            raise FieldError("filters", f"not JSON: {error}") from error
    try:
        return SimilarQuery.model_validate(values)
    except ValidationError as error:
        raise invalid_request(error) from error


_ID_SCHEMA = {"type": "string", "minLength": 1, "maxLength": 128}
_PARAMETERS = [
    docs.parameter("item_id", "path", {"type": "string", "maxLength": 128}, "The item.", example="i7"),
    docs.parameter("k", "query", {"type": "integer", "minimum": 1, "default": 50}, "Items wanted."),
    {
        "name": "filters",
        "in": "query",
        "required": False,
        "description": "As in POST /recall, as JSON.",
        "content": {"application/json": {"schema": {"type": "object"}, "example": FILTERS_EXAMPLE}},
    },
    docs.parameter(
        "timeout_ms",
        "query",
        {"type": "integer", "minimum": 1, "maximum": 10_000},
        "Covers the whole request, from its first byte on, waiting included.",
    ),
    docs.parameter("user_id", "query", _ID_SCHEMA, "Keeps a user in the same variants, as in POST /recall."),
    docs.parameter("session_id", "query", _ID_SCHEMA, "Does so where there is no user."),
    *docs.HEADERS,
]
_FOUND = docs.answer("The nearest items, best first.", SimilarAnswer, ColumnarSimilarAnswer)
routes = [
    RawRoute(
        "/items/{item_id:path}/similar",  # an item id may hold slashes
        get_similar,
        methods=["GET"],
        operation_id="similar_items",
        summary="Recall items like an item",
        tags=["recall"],
        responses={200: _FOUND, 404: docs.problem("The index has no such item."), **docs.PROBLEMS},
        openapi_extra={"parameters": _PARAMETERS},
    )
]
