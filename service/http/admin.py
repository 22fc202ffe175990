"""The admin API: changes to the index while it serves. Mounted only where a token is set.

Every call carries ``Authorization: Bearer <token>``. When a call answers 200 its changes are on disk, and
every query that begins later sees them, in every worker.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from fastapi import Request, Response
from pydantic import BaseModel, SecretStr

from common.arrays import F16, F32
from common.deadline import Deadline
from index.port import ChangeRefused, IndexUnavailable, ItemPut, ItemUpdate, WritableIndex, WriteResult
from service.errors import NotReady, Unavailable
from service.http import documentation as docs
from service.http.admin_schemas import (
    REMOVE_EXAMPLES,
    UPDATE_EXAMPLES,
    UPSERT_EXAMPLES,
    Changed,
    Remove,
    Update,
    Upsert,
)
from service.http.columnar import json_response
from service.http.problems import ProblemError
from service.http.requests import parse, read_json
from service.http.routing import Endpoint, RawRoute
from service.runtime import Runtime

#: Seconds that a change may take.
PATIENCE_S = 30.0
B = TypeVar("B", bound=BaseModel)

#: Indexes by arm of ``towers``, with the shape of their features, ``(3, d)``.
_Indexes = Mapping[str, tuple[WritableIndex, tuple[int, int]]]


def routes(token: SecretStr, runtime: Runtime) -> list[RawRoute]:
    """The routes.

    An item is withdrawn, or costs less, whatever arm answers: updates and removals go to every arm's index,
    or to that of the arm that ``?towers=`` names. An upsert brings vectors of one bundle, so it names the arm
    where there are several.

    Args:
        token: what a caller has to show.
        runtime: has the indexes, as they are when a request comes.
    """
    expected = f"Bearer {token.get_secret_value()}".encode()

    def entered(request: Request) -> _Indexes:
        shown = request.headers.get("authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(shown, expected):
            headers = {"WWW-Authenticate": "Bearer"}
            raise ProblemError(401, "unauthorized", "the admin token is missing or wrong", headers=headers)
        return _writable_indexes(runtime, request.query_params.get("towers"))

    async def read(request: Request, model: type[B]) -> B:
        return parse(model, await read_json(request, runtime.settings.limits))

    async def upsert(request: Request) -> Response:
        indexes = entered(request)
        if len(indexes) > 1:
            arms = " or ".join(f"?towers={arm}" for arm in indexes)
            raise ProblemError(422, "invalid-request", f"vectors are of one bundle: say whose, {arms}")
        changes = await read(request, Upsert)
        ((_, shape),) = indexes.values()
        puts = [
            ItemPut(
                item.id,
                _vector(item.vector).astype(np.float32),
                None if item.features is None else _shaped(item.id, _vector(item.features), shape),
                item.category,
                item.attributes,
            )
            for item in changes.items
        ]
        return await _change(indexes, lambda index: index.upsert(puts, Deadline.after(PATIENCE_S)))

    async def update(request: Request) -> Response:
        indexes = entered(request)
        changes = await read(request, Update)
        updates = [ItemUpdate(item.id, item.attributes, item.category) for item in changes.items]
        return await _change(indexes, lambda index: index.update(updates, Deadline.after(PATIENCE_S)))

    async def remove(request: Request) -> Response:
        indexes = entered(request)
        changes = await read(request, Remove)
        return await _change(indexes, lambda index: index.remove(changes.ids, Deadline.after(PATIENCE_S)))

    own = "The arm whose vectors they are, where there are several."
    every = "The arm whose index is changed; every arm's where it is left out."
    return [
        _route(upsert, "Add or replace items", Upsert, UPSERT_EXAMPLES, own),
        _route(update, "Change attributes of items", Update, UPDATE_EXAMPLES, every),
        _route(remove, "Take items out", Remove, REMOVE_EXAMPLES, every),
    ]


def _route(
    endpoint: Endpoint, summary: str, shape: type[BaseModel], examples: Mapping[str, Any], arm: str
) -> RawRoute:
    return RawRoute(
        f"/admin/index/{endpoint.__name__}",
        endpoint,
        methods=["POST"],
        summary=summary,
        tags=["admin"],
        responses={
            200: docs.answer("On disk and in the next answer.", Changed),
            401: docs.problem("The token is missing or wrong."),
            422: docs.problem("A field cannot be used."),
            503: docs.PROBLEM_503,
        },
        openapi_extra={
            "requestBody": docs.body(shape, examples),
            "parameters": [docs.parameter("towers", "query", {"type": "string"}, arm, example="control")],
            "security": [{"token": []}],
        },
    )


def _writable_indexes(runtime: Runtime, arm: str | None) -> _Indexes:
    """The index of the arm, or of every arm, each once.

    Raises:
        NotReady: the worker is still loading.
        ProblemError: 404 for an arm that there is not, 501 for an index that takes no changes.
    """
    if not runtime.ready:
        raise NotReady(runtime.progress)
    if arm is not None and arm not in runtime.deployments:
        known = ", ".join(runtime.deployments)
        raise ProblemError(404, "not-found", f"towers has no arm {arm!r}; it has {known}")
    found: dict[str, tuple[WritableIndex, tuple[int, int]]] = {}
    for name in runtime.deployments if arm is None else (arm,):
        deployment = runtime.deployments[name]
        index = deployment.writable
        if index is None:
            detail = f"the index of {name} is not changed through this service"
            raise ProblemError(501, "not-writable", detail)
        if not any(index is other for other, _ in found.values()):
            found[name] = index, deployment.shape
    return found


async def _change(indexes: _Indexes, change: Callable[[WritableIndex], Awaitable[WriteResult]]) -> Response:
    """Change one index after the other. Where one fails the call fails: it may be made again as it was."""
    done: dict[str, WriteResult] = {}
    for arm, (index, _) in indexes.items():
        try:
            done[arm] = await change(index)
        except ChangeRefused as error:
            raise ProblemError(422, "invalid-request", str(error)) from error
        except IndexUnavailable as error:
            raise Unavailable(f"{arm}: {error}") from error
    unknown = set.intersection(*(set(result.unknown) for result in done.values()))
    changed: Changed = {
        "written": sum(result.written for result in done.values()),
        "unknown": [item_id for item_id in next(iter(done.values())).unknown if item_id in unknown],
        "towers": {arm: {"written": r.written, "unknown": list(r.unknown)} for arm, r in done.items()},
    }
    return json_response(changed)


def _vector(value: list[float] | str) -> F32 | F16:
    if not isinstance(value, str):
        return np.array(value, dtype=np.float32)
    try:
        return np.frombuffer(base64.b64decode(value, validate=True), dtype="<f2")
    except (binascii.Error, ValueError) as error:
        detail = f"a vector is neither numbers nor base64 of halves: {error}"
        raise ProblemError(422, "invalid-request", detail) from error


def _shaped(item_id: str, values: F32 | F16, shape: tuple[int, int]) -> F16:
    if values.size != shape[0] * shape[1]:
        detail = f"item {item_id!r}: its features have {values.size} values, expected {shape[0] * shape[1]}"
        raise ProblemError(422, "invalid-request", detail)
    return values.reshape(shape).astype(np.float16)
