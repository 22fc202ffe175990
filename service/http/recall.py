"""``POST /recall`` and ``POST /recall/batch``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import Request, Response

from common.turns import Turns
from service.admission import LoadShedding
from service.errors import FieldError, RecallError
from service.explain import explain
from service.http import documentation as docs
from service.http.answers import (
    BatchAnswer,
    BatchEntry,
    ColumnarAnswer,
    ColumnarBatchAnswer,
    RecallAnswer,
    recall_answer,
)
from service.http.checks import CheckedRequest, check_request
from service.http.cost import BATCH, BATCH_ANSWERS, ONE_REQUEST
from service.http.middleware import NOTES
from service.http.problems import problem_from
from service.http.requests import Call, parse, parse_entries
from service.http.routing import RawRoute
from service.http.schemas import (
    BATCH_EXAMPLES,
    REQUEST_EXAMPLES,
    BatchEnvelope,
    BatchRequest,
    RecallRequest,
)
from service.http.timing import Stages
from service.scope import TOLD, Told
from service.stages import entry_span, past


async def post_recall(request: Request) -> Response:
    """Items for a query, a picture, a history, or any of them together."""
    call = Call(request)
    body = await call.read()
    await call.turn()
    with call.enter() as ticket:
        began = call.runtime.clock()
        parsed = parse(RecallRequest, body)
        request.scope[NOTES] = {"query": parsed.query, "user_id": parsed.user_id}
        checked = check_request(call, parsed, call.request_id)
        told = request.scope[TOLD] = _told(call, checked)
        parsed_s = call.runtime.clock() - began
        call.runtime.metrics.stage("wait", ticket.shedding.waited_s)
        call.runtime.metrics.stage("parse", parsed_s)
        if call.runtime.traced:
            past("wait", ticket.shedding.waited_s, parsed_s)
            past("parse", parsed_s)
        deadline = call.deadline(parsed.timeout_ms)
        call.runtime.admission.refuse_hopeless(deadline.remaining(), ticket.shedding.waited_s)
        work = _answer(call, call.request_id, checked, ticket.shedding, told)
        answer, stages = await call.unless_gone(work)
    return call.answer(answer, checked.target.assignment.header, stages)


async def post_batch(request: Request) -> Response:
    """Several requests at once.

    A request that is malformed refuses the batch and is named, such as ``requests.3.query``; what goes
    wrong while they are answered is told for each, with the status that it would have had alone.
    """
    call = Call(request)
    body = await call.read(BATCH)
    await call.turn()
    with call.enter() as ticket:
        batches = call.runtime.admission.batches
        if batches.busy and (count := _count(call, body)) > 1:
            batches.refuse_crowding(call.client, count)  # ahead of the work of checking it
        entries = await _check_batch(call, await _parse_batch(call, body))
        call.runtime.guard.charge(request.scope, len(entries) - 1)
        ticket.widen(len(entries), call.deadline(_longest_ms(entries)).remaining())
        ticket.pause()
        results = await call.unless_gone(_answer_batch(call, entries))
    answer: BatchAnswer = {"request_id": call.request_id, "results": results, "took_ms": call.took_ms()}
    return call.answer(answer)


def _count(call: Call, body: bytearray) -> int:
    """The entries of a batch that is small enough to be looked at; 0 where that is not to be told."""
    if len(body) > call.runtime.settings.limits.request_bytes:
        return 0
    try:
        entries = orjson.loads(body)["requests"]
        return len(entries) if isinstance(entries, list) else 0
    except (ValueError, TypeError, KeyError):
        return 0  # the parser says what is wrong


def _longest_ms(entries: Sequence[CheckedRequest]) -> int | None:
    """The longest time that an entry may take; None where one leaves it to the default."""
    times = [entry.request.timeout_ms for entry in entries]
    given = [time for time in times if time is not None]
    return max(given) if given and len(given) == len(times) else None


async def _parse_batch(call: Call, body: bytearray) -> list[RecallRequest]:
    limit = call.runtime.settings.limits.request_bytes
    if len(body) <= limit:
        return parse(BatchRequest, body).requests

    def parse_entry(entry: Any, place: int) -> RecallRequest:
        try:
            written = orjson.dumps(entry)
        except TypeError as error:  # nested deeper than anything that is asked for
            raise FieldError(f"requests.{place}", "cannot be used") from error
        ONE_REQUEST.check(written, limit, f"requests.{place}")
        return parse(RecallRequest, written, "requests", place)

    return await parse_entries(BatchEnvelope, "requests", body, parse_entry)


async def _check_batch(call: Call, requests: Sequence[RecallRequest]) -> list[CheckedRequest]:
    limits = call.runtime.settings.limits
    if len(requests) > limits.batch:
        raise FieldError("requests", f"{len(requests)} requests are over {limits.batch}")
    items = sum(entry.k for entry in requests)
    # Entries that are each too large are told as such below, by the first of them.
    if items > (most := BATCH_ANSWERS * limits.max_k) and all(entry.k <= limits.max_k for entry in requests):
        raise FieldError("requests", f"{items} items are asked for in all; at most {most} are allowed")
    checked, turns = [], Turns()
    for place, entry in enumerate(requests):
        await turns.take()
        try:
            checked.append(check_request(call, entry, _entry_id(call, place)))
        except FieldError as error:
            raise FieldError(f"requests.{place}.{error.field}", str(error)) from error
    return checked


async def _answer(
    call: Call,
    request_id: str,
    checked: CheckedRequest,
    shed: LoadShedding,
    told: Told,
    turns: Turns | None = None,
) -> tuple[RecallAnswer, Stages]:
    runtime, target = call.runtime, checked.target
    deadline = call.deadline(checked.request.timeout_ms)
    query = await checked.query(runtime.settings.limits, deadline)
    result = await runtime.recaller.recall(
        target.deployment, query, target.assignment.recall, shed, deadline, turns
    )
    if turns is not None:
        await turns.take()
    recalled = runtime.clock()
    answer = recall_answer(
        call,
        request_id,
        target,
        items=result.items,
        routes=result.routes,
        degraded=result.degraded,
        told=told,
        words=checked.text,
    )
    if checked.request.explain:
        answer["explain"] = explain(result, shed)
    answered_s = runtime.clock() - recalled
    runtime.metrics.stage("answer", answered_s)
    if runtime.traced:
        past("answer", answered_s)
    return answer, result.stages


async def _answer_batch(call: Call, entries: list[CheckedRequest]) -> list[BatchEntry]:
    # Each waits for its turn among all clients' requests, so that those of a batch do not crowd out single
    # ones. All at once would fill the queue; fewer would not fill the encoder's batches.
    places = asyncio.Semaphore(call.runtime.settings.limits.batch_parallel)
    turns = Turns()

    async def one(place: int, checked: CheckedRequest) -> BatchEntry:
        request_id = _entry_id(call, place)
        told = _told(call, checked)
        try:
            async with places:
                deadline = call.deadline(checked.request.timeout_ms)
                until = call.runtime.clock() + deadline.remaining()
                with await call.runtime.admission.entry(call.client, until) as entry:
                    answer, _ = await _answer(call, request_id, checked, entry.shedding, told, turns)
                call.runtime.metrics.arms.ended(told, None, None)
                return {"status": 200, "answer": answer}
        except RecallError as error:
            problem = problem_from(error)
            call.runtime.metrics.arms.ended(told, told.cause(problem.kind), None)
            return {"status": problem.status, "problem": problem.body(request_id)}

    async def traced(place: int, checked: CheckedRequest) -> BatchEntry:
        with entry_span(place) as ended:
            answered = await one(place, checked)
            ended(None if answered["status"] == 200 else str(answered["status"]))
        return answered

    work = traced if call.runtime.traced else one
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work(place, checked)) for place, checked in enumerate(entries)]
    return [task.result() for task in tasks]


def _told(call: Call, checked: CheckedRequest) -> Told:
    """What will be told of a request that has its arms."""
    return Told(checked.target.assignment.arms, call.own_deadline(checked.request.timeout_ms))


def _entry_id(call: Call, place: int) -> str:
    return f"{call.request_id}.{place}"


routes = [
    RawRoute(
        path,
        endpoint,
        methods=["POST"],
        operation_id=operation_id,
        summary=summary,
        tags=["recall"],
        responses={200: answer, **docs.BODY_PROBLEMS},
        openapi_extra={"requestBody": body, "parameters": docs.HEADERS},
    )
    for path, endpoint, operation_id, summary, body, answer in (
        (
            "/recall",
            post_recall,
            "recall",
            "Recall items",
            docs.body(RecallRequest, REQUEST_EXAMPLES),
            docs.answer("The items, best first.", RecallAnswer, ColumnarAnswer),
        ),
        (
            "/recall/batch",
            post_batch,
            "recall_batch",
            "Recall items for several requests",
            docs.body(BatchRequest, BATCH_EXAMPLES),
            docs.answer("The answers, in order.", BatchAnswer, ColumnarBatchAnswer),
        ),
    )
]
