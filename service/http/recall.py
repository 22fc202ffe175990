"""``POST /recall`` and ``POST /recall/batch``."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from service.admission import Pressure
from service.errors import FieldError, RecallError
from service.http.answers import recall_answer
from service.http.columnar import DEFAULT_TYPE, MEDIA_TYPE, wants_columns
from service.http.documentation import BATCH_DOCS, RECALL_DOCS
from service.http.middleware import NOTES
from service.http.prepare import Prepared, prepare
from service.http.problems import ProblemError, invalid, problem_of, request_id_of
from service.http.requests import ClientGone, read_json, ready_runtime, unless_gone
from service.http.schemas import BatchRequest, RecallRequest
from service.query.batcher import EncoderBusy
from service.runtime import Runtime

router = APIRouter()
APPLIED = "X-Experiment-Applied"
#: Seen by nobody but the access log: the client has gone.
GONE = 499


class Shortcut:
    """Middleware that answers ``POST /recall`` itself: the path of nearly every request.

    What lies between it and the endpoint (routing, dependencies, exit stacks) does nothing for an endpoint
    that reads its request raw, and takes as long as a search. The route stays, for the OpenAPI document.
    """

    path_format = "/recall"

    def __init__(self, app: ASGIApp, retry_after_s: int) -> None:
        self._app = app
        self._retry_after_s = retry_after_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["path"] != self.path_format or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        scope["route"] = self  # as a router does, for the middleware that counts
        request = Request(scope, receive, send)
        try:
            response = await post_recall(request)
        except (ProblemError, RecallError, EncoderBusy) as error:
            response = problem_of(error, self._retry_after_s).response(request_id_of(request))
        await response(scope, receive, send)


@router.post("/recall", **RECALL_DOCS)
async def post_recall(request: Request) -> Response:
    """Items for a query, a picture, a history, or any of them together."""
    runtime = ready_runtime(request)
    try:
        body = await read_json(request, runtime.settings.limits.body_timeout_s)
        received = runtime.clock()
        request_id = request_id_of(request) or ""
        with runtime.admission.enter() as ticket:
            prepared = _prepare(runtime, request, body)
            runtime.metrics.stage("parse", runtime.clock() - received)
            columnar = wants_columns(request)
            work = _answer(runtime, request_id, prepared, ticket.pressure, received, columnar)
            answer = await unless_gone(request, work)
    except ClientGone:
        runtime.metrics.cancelled.inc()
        return Response(status_code=GONE)
    return answered(answer, columnar, {APPLIED: prepared.assignment.header()})


@router.post("/recall/batch", **BATCH_DOCS)
async def post_batch(request: Request) -> Response:
    """Several requests at once.

    A request that is malformed refuses the batch and is named, such as ``requests.3.query``; what goes
    wrong while they are answered is told for each, with the status that it would have had alone.
    """
    runtime = ready_runtime(request)
    try:
        body = await read_json(request, runtime.settings.limits.body_timeout_s)
        received = runtime.clock()
        with runtime.admission.enter() as ticket:
            entries = _prepare_batch(runtime, request, body)
            ticket.widen(len(entries))
            columnar = wants_columns(request)
            work = _answer_batch(runtime, request, entries, ticket.pressure, received, columnar)
            results = await unless_gone(request, work)
    except ClientGone:
        runtime.metrics.cancelled.inc()
        return Response(status_code=GONE)
    took_ms = round((runtime.clock() - received) * 1000, 3)
    answer = {"request_id": request_id_of(request), "results": results, "took_ms": took_ms}
    return answered(answer, columnar)


def _prepare(runtime: Runtime, request: Request, body: bytes) -> Prepared:
    try:
        parsed = RecallRequest.model_validate_json(body)
    except ValidationError as error:
        raise invalid(error) from error
    request.scope[NOTES] = {"query": parsed.query, "user_id": parsed.user_id}
    return prepare(runtime, parsed, request_id_of(request) or "", request.headers.get("x-experiment"))


def _prepare_batch(runtime: Runtime, request: Request, body: bytes) -> list[Prepared]:
    try:
        parsed = BatchRequest.model_validate_json(body)
    except ValidationError as error:
        raise invalid(error) from error
    limit = runtime.settings.limits.batch
    if len(parsed.requests) > limit:
        raise FieldError("requests", f"{len(parsed.requests)} requests are over {limit}")
    experiment = request.headers.get("x-experiment")
    prepared = []
    for place, entry in enumerate(parsed.requests):
        try:
            prepared.append(prepare(runtime, entry, _entry_id(request, place), experiment))
        except FieldError as error:
            raise FieldError(f"requests.{place}.{error.field}", str(error)) from error
    return prepared


async def _answer(
    runtime: Runtime,
    request_id: str,
    prepared: Prepared,
    pressure: Pressure,
    received: float,
    columnar: bool,
) -> dict[str, Any]:
    deadline = runtime.deadline(prepared.request.timeout_ms, received)
    query = await prepared.with_picture(runtime.settings.limits, deadline)
    result = await runtime.recall(prepared.deployment, query, prepared.assignment.recall, pressure, deadline)
    recalled = runtime.clock()
    answer = recall_answer(prepared, result, request_id, recalled - received, columnar=columnar)
    runtime.metrics.stage("answer", runtime.clock() - recalled)
    return answer


async def _answer_batch(
    runtime: Runtime,
    request: Request,
    entries: list[Prepared],
    pressure: Pressure,
    received: float,
    columnar: bool,
) -> list[dict[str, Any]]:
    # All at once would crowd out single requests; fewer would not fill the encoder's batches.
    places = asyncio.Semaphore(runtime.settings.limits.batch_parallel)

    async def one(place: int, prepared: Prepared) -> dict[str, Any]:
        request_id = _entry_id(request, place)
        try:
            async with places:
                answer = await _answer(runtime, request_id, prepared, pressure, received, columnar)
        except (RecallError, EncoderBusy) as error:
            problem = problem_of(error)
            return {"status": problem.status, "problem": problem.body(request_id)}
        return {"status": 200, "answer": answer}

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(place, prepared)) for place, prepared in enumerate(entries)]
    return [task.result() for task in tasks]


def answered(answer: dict[str, Any], columnar: bool, headers: dict[str, str] | None = None) -> Response:
    """The answer in the form that the client chose; caches must keep the two forms apart."""
    media_type = MEDIA_TYPE if columnar else DEFAULT_TYPE
    return Response(orjson.dumps(answer), headers={"Vary": "Accept"} | (headers or {}), media_type=media_type)


def _entry_id(request: Request, place: int) -> str:
    return f"{request_id_of(request)}.{place}"
