"""The admin API: changes to the index while it serves. Mounted only where a token is set.

Every call carries ``Authorization: Bearer <token>``. When a call answers 200 its changes are on disk, and
every query that begins later sees them, in every worker.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import numpy as np
import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, SecretStr, ValidationError

from common.deadline import Deadline
from index.port import (
    F16,
    F32,
    ChangeRefused,
    IndexUnavailable,
    ItemPut,
    ItemUpdate,
    WritableIndex,
    WriteResult,
)
from service.http.admin_schemas import Remove, Update, Upsert
from service.http.documentation import REMOVE_DOCS, UPDATE_DOCS, UPSERT_DOCS
from service.http.problems import ProblemError, invalid

#: Seconds that a change may take.
PATIENCE_S = 30.0
B = TypeVar("B", bound=BaseModel)

#: The indexes that a request may change (None: one that takes no changes), by arm of ``towers``, each once;
#: with the shape of its features, ``(3, d)``.
IndexesOf = Callable[[Request], Mapping[str, tuple[WritableIndex | None, tuple[int, int]]]]
_Writable = Mapping[str, tuple[WritableIndex, tuple[int, int]]]


def router(token: SecretStr, indexes_of: IndexesOf) -> APIRouter:
    """The routes.

    An item is withdrawn, or costs less, whatever arm answers: updates and removals go to every arm's index,
    or to that of the arm that ``?towers=`` names. An upsert brings vectors of one bundle, so it names the arm
    where there are several.

    Args:
        token: what a caller has to show.
        indexes_of: the indexes, as they are when a request comes.
    """
    routes = APIRouter(prefix="/admin/index", tags=["admin"])
    expected = f"Bearer {token.get_secret_value()}".encode()

    def entered(request: Request) -> _Writable:
        shown = request.headers.get("authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(shown, expected):
            headers = {"WWW-Authenticate": "Bearer"}
            raise ProblemError(401, "unauthorized", "the admin token is missing or wrong", headers=headers)
        indexes: dict[str, tuple[WritableIndex, tuple[int, int]]] = {}
        for arm, (index, shape) in indexes_of(request).items():
            if index is None:
                raise ProblemError(
                    501, "not-writable", f"the index of {arm} is not changed through this service"
                )
            indexes[arm] = index, shape
        return indexes

    @routes.post("/upsert", **UPSERT_DOCS)
    async def upsert(request: Request) -> Response:
        indexes = entered(request)
        if len(indexes) > 1:
            arms = " or ".join(f"?towers={arm}" for arm in indexes)
            raise ProblemError(422, "invalid-request", f"vectors are of one bundle: say whose, {arms}")
        body = await _read(request, Upsert)
        ((_, shape),) = indexes.values()
        puts = [
            ItemPut(
                item.id,
                _vector(item.vector).astype(np.float32),
                None if item.features is None else _shaped(item.id, _vector(item.features), shape),
                item.category,
                item.attributes,
            )
            for item in body.items
        ]
        return await _written(indexes, lambda index: index.upsert(puts, Deadline.after(PATIENCE_S)))

    @routes.post("/update", **UPDATE_DOCS)
    async def update(request: Request) -> Response:
        indexes = entered(request)
        body = await _read(request, Update)
        updates = [ItemUpdate(item.id, item.attributes, item.category) for item in body.items]
        return await _written(indexes, lambda index: index.update(updates, Deadline.after(PATIENCE_S)))

    @routes.post("/remove", **REMOVE_DOCS)
    async def remove(request: Request) -> Response:
        indexes = entered(request)
        body = await _read(request, Remove)
        return await _written(indexes, lambda index: index.remove(body.ids, Deadline.after(PATIENCE_S)))

    return routes


async def _read(request: Request, model: type[B]) -> B:
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise invalid(error) from error


async def _written(indexes: _Writable, change: Callable[[WritableIndex], Awaitable[WriteResult]]) -> Response:
    """Change one index after the other. Where one fails the call fails: it may be made again as it was."""
    done: dict[str, WriteResult] = {}
    for arm, (index, _) in indexes.items():
        try:
            done[arm] = await change(index)
        except ChangeRefused as error:
            raise ProblemError(422, "invalid-request", str(error)) from error
        except IndexUnavailable as error:
            raise ProblemError(503, "unavailable", f"{arm}: {error}") from error
    unknown = set.intersection(*(set(result.unknown) for result in done.values()))
    answer = {
        "written": sum(result.written for result in done.values()),
        "unknown": [item_id for item_id in next(iter(done.values())).unknown if item_id in unknown],
        "towers": {arm: {"written": r.written, "unknown": r.unknown} for arm, r in done.items()},
    }
    return Response(orjson.dumps(answer), media_type="application/json")


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
