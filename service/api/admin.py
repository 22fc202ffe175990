"""The admin API: changes to the index while it serves. Mounted only where a token is set.

Every call carries ``Authorization: Bearer <token>``. When a call answers 200 its changes are on disk, and
every query that begins later sees them, in every worker.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, TypeVar

import numpy as np
import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from service.api.problems import ProblemError, invalid
from service.deadline import Deadline
from service.index.port import (
    F16,
    F32,
    ChangeRefused,
    IndexUnavailable,
    ItemIndex,
    ItemPut,
    ItemUpdate,
    WritableIndex,
    WriteResult,
)

#: Changes in a call, and seconds that one may take.
MAX_CHANGES = 1000
PATIENCE_S = 30.0
Numbers = Annotated[list[float], Field(min_length=1, max_length=65_536)]
Base64 = Annotated[str, Field(min_length=1, max_length=1 << 20)]
B = TypeVar("B", bound=BaseModel)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PutItem(_Body):
    """``vector`` and ``features``: numbers, or base64 of little-endian halves. Features in row order."""

    id: str
    vector: Numbers | Base64
    features: Numbers | Base64 | None = None
    category: str = ""
    attributes: dict[str, Any] = Field(default_factory=dict)


class UpdateItem(_Body):
    """Attributes to change; null takes one away."""

    id: str
    attributes: dict[str, Any] = Field(default_factory=dict)
    category: str | None = None


class Upsert(_Body):
    """``POST /admin/index/upsert``."""

    items: list[PutItem] = Field(max_length=MAX_CHANGES)


class Update(_Body):
    """``POST /admin/index/update``."""

    items: list[UpdateItem] = Field(max_length=MAX_CHANGES)


class Remove(_Body):
    """``POST /admin/index/remove``."""

    ids: list[str] = Field(max_length=MAX_CHANGES)


#: Finds the index that changes go to, given the request; and the shape of its features, ``(3, d)``.
IndexOf = Callable[[Request], tuple[ItemIndex, tuple[int, int]]]


def router(token: SecretStr, index_of: IndexOf) -> APIRouter:
    """The routes.

    Args:
        token: what a caller has to show.
        index_of: the index, as it is when a request comes.
    """
    routes = APIRouter(prefix="/admin/index", tags=["admin"])
    expected = f"Bearer {token.get_secret_value()}".encode()

    def entered(request: Request) -> tuple[WritableIndex, tuple[int, int]]:
        shown = request.headers.get("authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(shown, expected):
            headers = {"WWW-Authenticate": "Bearer"}
            raise ProblemError(401, "unauthorized", "the admin token is missing or wrong", headers=headers)
        index, shape = index_of(request)
        if not all(hasattr(index, name) for name in ("upsert", "update", "remove")):
            raise ProblemError(501, "not-writable", "this index is not changed through this service")
        return index, shape  # type: ignore[return-value]

    @routes.post("/upsert")
    async def upsert(request: Request) -> Response:
        index, shape = entered(request)
        body = await _read(request, Upsert)
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
        return await _written(index.upsert(puts, Deadline.after(PATIENCE_S)))

    @routes.post("/update")
    async def update(request: Request) -> Response:
        index, _ = entered(request)
        body = await _read(request, Update)
        updates = [ItemUpdate(item.id, item.attributes, item.category) for item in body.items]
        return await _written(index.update(updates, Deadline.after(PATIENCE_S)))

    @routes.post("/remove")
    async def remove(request: Request) -> Response:
        index, _ = entered(request)
        body = await _read(request, Remove)
        return await _written(index.remove(body.ids, Deadline.after(PATIENCE_S)))

    return routes


async def _read(request: Request, model: type[B]) -> B:
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise invalid(error) from error


async def _written(writing: Awaitable[WriteResult]) -> Response:
    try:
        result = await writing
    except ChangeRefused as error:
        raise ProblemError(422, "invalid-request", str(error)) from error
    except IndexUnavailable as error:
        raise ProblemError(503, "unavailable", str(error)) from error
    answer: Mapping[str, Any] = {"written": result.written, "unknown": result.unknown}
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
