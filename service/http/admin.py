"""The admin API: changes to the index while it serves. Mounted only where keys or a token are set.

Every call carries ``Authorization: Bearer <key>`` with a key of scope ``write``. When a call answers 200 its
changes are on disk, and every query that begins later sees them, in every worker.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError

from artifacts.attributes import MAX_ID_BYTES
from artifacts.words import MAX_CHARACTERS
from common.arrays import F16, F32
from index.changes import ItemPut, ItemUpdate, Keep
from service.http import documentation as docs
from service.http.changes import PROBLEMS, Change, Changed, Indexes, changed, indexes_of
from service.http.columnar import json_response
from service.http.cost import CHANGES, IDS, query_parameters
from service.http.problems import invalid_request, unusable
from service.http.requests import B, Call, T, parse, parse_entries
from service.http.routing import RawRoute

#: Changes in a call.
MAX_CHANGES = 1000
#: As long as an index takes it: what is longer is no item's, and is not written to the audit either.
Id = Annotated[str, Field(max_length=MAX_ID_BYTES)]
#: The first that is no number ends the check: 60,000 errors of one vector took 30 ms of the loop.
Numbers = Annotated[list[float], Field(min_length=1, max_length=65_536, fail_fast=True)]
Texts = dict[str, Annotated[str, Field(max_length=MAX_CHARACTERS)]]
Vector = Numbers | Annotated[str, Field(min_length=1, max_length=1 << 20)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PutItem(_Body):
    """``vector`` and ``features``: numbers, or base64 of little-endian halves. Features in row order.

    ``texts`` by field (``title`` and the shop's other text columns) are what the item is found by word for
    word; an index without texts leaves them out. ``picture`` is the feature of the item's picture, of unit
    length, which the search by pictures reads; null takes it away. Where ``texts`` or ``picture`` is left
    out, those that the index has stay, but for texts of the category and of attributes. Vespa keeps those
    that were put through the service since its last folder was fed; others it does not give back, so send
    them again.
    """

    id: Id
    vector: Vector
    features: Vector | None = None
    category: str = ""
    attributes: dict[str, Any] = Field(default_factory=dict)
    texts: Texts = Field(default_factory=dict)
    picture: Vector | None = None


class UpdateItem(_Body):
    """Attributes to change, null to take one away; texts by field likewise, empty to take one away."""

    id: Id
    attributes: dict[str, Any] = Field(default_factory=dict)
    category: str | None = None
    texts: Texts = Field(default_factory=dict)


class Upsert(_Body):
    """Items to add or to replace, with the vectors of the arm's bundle."""

    items: list[PutItem] = Field(max_length=MAX_CHANGES)


class Update(_Body):
    """Attributes of items that are there."""

    items: list[UpdateItem] = Field(max_length=MAX_CHANGES)


class Remove(_Body):
    """Items to take out."""

    ids: Annotated[list[Id], FailFast()] = Field(max_length=MAX_CHANGES)


class _Envelope(_Body):
    """Changes that are parsed one by one."""

    items: list[Any] = Field(max_length=MAX_CHANGES)


def routes() -> list[RawRoute]:
    """The routes, for callers that may write.

    An item is withdrawn, or costs less, whatever arm answers: updates and removals go to every arm's index,
    or to that of the arm that ``?towers=`` names. An upsert brings vectors of one bundle, so it names the arm
    where there are several.
    """

    def entered(request: Request) -> tuple[Call, Indexes]:
        call = Call(request)
        return call, indexes_of(call, query_parameters(request).get("towers"))

    async def made(call: Call, indexes: Indexes, ids: list[str], change: Change) -> Response:
        what = call.request.scope["path"].rpartition("/")[2]
        return json_response(await changed(call, what, indexes, ids, change))

    async def upsert(request: Request) -> Response:
        call, indexes = entered(request)
        if len(indexes) > 1:
            arms = " or ".join(f"?towers={arm}" for arm in indexes)
            raise unusable(f"vectors are of one bundle: say whose, {arms}")
        shape = call.runtime.deployments[next(iter(indexes))].shape
        puts = await _entries(call, PutItem, lambda item: _put(item, shape))
        ids = [put.id for put in puts]
        return await made(call, indexes, ids, lambda _, index, deadline: index.upsert(puts, deadline))

    async def update(request: Request) -> Response:
        call, indexes = entered(request)
        updates = await _entries(
            call, UpdateItem, lambda item: ItemUpdate(item.id, item.attributes, item.category, item.texts)
        )
        ids = [change.id for change in updates]
        return await made(call, indexes, ids, lambda _, index, deadline: index.update(updates, deadline))

    async def remove(request: Request) -> Response:
        call, indexes = entered(request)
        body = parse(Remove, await call.read(IDS))
        return await made(
            call, indexes, body.ids, lambda _, index, deadline: index.remove(body.ids, deadline)
        )

    every_arm = "The arm whose index is changed; every arm's where it is left out."
    one_arm = "The arm whose vectors they are, where there are several."
    put = {"id": "i7", "vector": "ADwAAA==", "attributes": {"price": 9.5}}
    new = {"id": "i7", "attributes": {"price": 7.5, "in_stock": True}}
    return [
        RawRoute(
            f"/admin/index/{endpoint.__name__}",
            endpoint,
            needs="write",
            methods=["POST"],
            operation_id=f"index_{endpoint.__name__}",
            summary=summary,
            tags=["admin"],
            responses={
                200: docs.answer("On disk and in the next answer.", Changed),
                **docs.BODY_PROBLEMS,
                **PROBLEMS,
            },
            openapi_extra={
                "requestBody": docs.body(body, {name: {"value": example}}),
                "parameters": [docs.parameter("towers", "query", {"type": "string"}, arm, example="control")],
                "security": [{"token": []}],
            },
        )
        for endpoint, summary, body, name, example, arm in (
            (upsert, "Add or replace items", Upsert, "base64", {"items": [put]}, one_arm),
            (update, "Change attributes of items", Update, "price", {"items": [new]}, every_arm),
            (remove, "Take items out", Remove, "one", {"ids": ["i7"]}, every_arm),
        )
    ]


async def _entries(call: Call, model: type[B], change: Callable[[B], T]) -> list[T]:
    """The changes that the body's items come to."""

    def parse_item(item: Any, place: int) -> T:
        try:
            return change(model.model_validate(item))
        except ValidationError as error:
            raise invalid_request(error, "items", place) from error

    return await parse_entries(_Envelope, "items", await call.read(CHANGES), parse_item)


def _put(item: PutItem, shape: tuple[int, int]) -> ItemPut:
    vector = _vector(item.vector).astype(np.float32)
    features = None if item.features is None else _features(item.id, _vector(item.features), shape)
    picture = None if item.picture is None else _vector(item.picture).astype(np.float32)
    given = item.model_fields_set
    keep = Keep(texts="texts" not in given, picture="picture" not in given)
    return ItemPut(item.id, vector, features, item.category, item.attributes, item.texts, picture, keep)


def _vector(value: list[float] | str) -> F32 | F16:
    if not isinstance(value, str):
        return np.array(value, dtype=np.float32)
    try:
        return np.frombuffer(base64.b64decode(value, validate=True), dtype="<f2")
    except (binascii.Error, ValueError) as error:
        raise unusable(f"a vector is neither numbers nor base64 of halves: {error}") from error


def _features(item_id: str, values: F32 | F16, shape: tuple[int, int]) -> F16:
    wanted = shape[0] * shape[1]
    if values.size != wanted:
        raise unusable(f"item {item_id!r}: its features have {values.size} values, expected {wanted}")
    return values.reshape(shape).astype(np.float16)
