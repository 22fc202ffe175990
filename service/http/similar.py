"""``GET /items/{item_id}/similar``: I2I alone."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from service.http.answers import route_answer, similar_items
from service.http.columnar import columns, wants_columns
from service.http.documentation import SIMILAR_DOCS
from service.http.prepare import check_filters, check_k
from service.http.problems import invalid, invalid_field, request_id_of
from service.http.recall import APPLIED, GONE, answered
from service.http.requests import ClientGone, ready_runtime, unless_gone
from service.http.schemas import SimilarQuery
from service.recall.similar import similar

router = APIRouter()
_MAX_ITEM_ID = 128


# An item id may hold slashes, hence the path converter.
@router.get("/items/{item_id:path}/similar", **SIMILAR_DOCS)
async def get_similar(request: Request) -> Response:
    """The nearest items of an item."""
    runtime = ready_runtime(request)
    received = runtime.clock()
    item_id: str = request.path_params["item_id"]
    if not 1 <= len(item_id) <= _MAX_ITEM_ID:
        raise invalid_field("item_id", f"must have 1 to {_MAX_ITEM_ID} characters")
    wanted = _parse(request)
    check_k(wanted.k, runtime.settings.limits)
    with runtime.admission.enter():
        request_id = request_id_of(request) or ""
        assignment = runtime.experiments.assign(request_id, request.headers.get("x-experiment"))
        deployment = runtime.deployments[assignment.towers]
        filters = check_filters(deployment, wanted.filters)
        deadline = runtime.deadline(wanted.timeout_ms, received)
        try:
            outcome = await unless_gone(
                request, similar(deployment.index, item_id, wanted.k, filters, deadline)
            )
        except ClientGone:
            runtime.metrics.cancelled.inc()
            return Response(status_code=GONE)
    columnar = wants_columns(request)
    items = similar_items(outcome)
    answer: dict[str, Any] = {
        "request_id": request_id,
        "item_id": item_id,
        "model_version": deployment.bundle.version,
        "index_version": deployment.index.version,
        "variant": assignment.arms,
        "items": columns(items) if columnar else items,
        "routes": {"i2i": route_answer(outcome)},
        "partial": outcome.short,
        "degraded": ["i2i_coverage"] if outcome.short else [],
        "took_ms": round((runtime.clock() - received) * 1000, 3),
    }
    return answered(answer, columnar, {APPLIED: assignment.header()})


def _parse(request: Request) -> SimilarQuery:
    values: dict[str, Any] = dict(request.query_params)
    if "filters" in values:
        try:
            values["filters"] = orjson.loads(values["filters"])
        except ValueError as error:
            raise invalid_field("filters", f"not JSON: {error}") from error
    try:
        return SimilarQuery.model_validate(values)
    except ValidationError as error:
        raise invalid(error) from error
