"""Items by content: ``PUT /items``, ``PUT`` and ``DELETE /items/{item_id}``, ``POST /items/delete``.

An item is put as a row of the shop's items file, with its picture; the item tower of each arm's bundle makes
its vectors here. What is acknowledged is on disk and in the next answer. Every call may be made again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any

from fastapi import Request, Response
from pydantic import Field, ValidationError
from typing_extensions import TypedDict

from artifacts.bundle import ItemText
from common.deadline import Deadline, within
from index.changes import ItemPut, WritableIndex, WriteResult
from service.deployment import Deployment
from service.errors import FieldError, Unavailable
from service.http import documentation as docs
from service.http.changes import PATIENCE_S, PROBLEMS, Changed, ChangedArm, Indexes, changed, indexes_of
from service.http.columnar import json_response
from service.http.cost import IDS, ITEMS, ONE_ITEM, query_parameters
from service.http.item_bodies import GoneItems, ItemRow, ItemsEnvelope, NamedItem, NewItem, NewItems
from service.http.problems import FieldProblem, ProblemError, field_problem, invalid_request, problems_of
from service.http.requests import Call, parse, parse_entries
from service.http.routing import RawRoute
from service.intake import ItemContent
from service.query.picture import QueryPicture, parse_picture

log = logging.getLogger("mrse.items")


class RefusedItem(TypedDict):
    """An item that was not put into any index, and why."""

    id: Annotated[str | None, Field(description="Null where it has none that could be read.")]
    errors: list[FieldProblem]


class PutItems(TypedDict):
    """What is on disk now, of every arm, and what was refused."""

    written: Annotated[int, Field(description="Items that every arm has now.")]
    refused: list[RefusedItem]
    towers: dict[str, ChangedArm]
    took_ms: float


#: Items with what was read of them, by their place in the call.
_Read = dict[int, tuple[ItemRow, str]]
_Refused = dict[int, RefusedItem]
#: The name of an item in the body, by its place; empty where it is the body.
_Named = Callable[[int], str]


async def put_items(request: Request) -> Response:
    """Put several items. One that cannot be taken is told and leaves the others as they are.

    An id that stands twice is refused at both places: which of the two was meant cannot be told.
    """
    call = Call(request)
    indexes = indexes_of(call, query_parameters(request).get("towers"))
    read: _Read = {}
    refused: _Refused = {}

    def read_one(entry: Any, place: int) -> None:
        try:
            item = NewItem.model_validate(entry)
        except ValidationError as error:
            shown = entry.get("id") if isinstance(entry, dict) else None
            known = shown if isinstance(shown, str) and len(shown) <= _MOST_SHOWN else None
            refused[place] = {"id": known, "errors": problems_of(error, "items", place)}
        else:
            read[place] = (item, item.id)

    await parse_entries(ItemsEnvelope, "items", await call.read(ITEMS), read_one)
    call.runtime.guard.charge(request.scope, len(read) + len(refused) - 1)
    times = Counter(item_id for _, item_id in read.values())
    for place, (_, item_id) in list(read.items()):
        if times[item_id] > 1:
            del read[place]
            _refuse(refused, place, item_id, f"items.{place}.id", "the id stands in this call more than once")
    return await _put(call, indexes, read, refused, lambda place: f"items.{place}")


async def put_item(request: Request) -> Response:
    """Put one item."""
    call = Call(request)
    indexes = indexes_of(call, query_parameters(request).get("towers"))
    item_id = _path_id(request)
    row = parse(ItemRow, await call.read(ONE_ITEM))
    return await _put(call, indexes, {0: (row, item_id)}, {}, lambda place: "")


async def delete_item(request: Request) -> Response:
    """Take an item out. One that is not there is told in ``unknown``, and is no error."""
    call = Call(request)
    indexes = indexes_of(call, query_parameters(request).get("towers"))
    return await _delete(call, indexes, [_path_id(request)])


async def delete_items(request: Request) -> Response:
    """Take several items out."""
    call = Call(request)
    indexes = indexes_of(call, query_parameters(request).get("towers"))
    ids = parse(GoneItems, await call.read(IDS)).ids
    call.runtime.guard.charge(request.scope, len(ids) - 1)
    return await _delete(call, indexes, ids)


async def _delete(call: Call, indexes: Indexes, ids: Sequence[str]) -> Response:
    async def remove(arm: str, index: WritableIndex, deadline: Deadline) -> WriteResult:
        result = await index.remove(ids, deadline)
        produced = call.runtime.deployments[arm].produced
        if produced is not None:
            with suppress(Unavailable):  # without its item a feature is of no use, and it ends by itself
                await produced.remove(ids)
        return result

    answer = await changed(call, "delete items", indexes, ids, remove)
    call.runtime.metrics.items("removed", answer["written"])
    return json_response(answer)


async def _put(call: Call, indexes: Indexes, read: _Read, refused: _Refused, named: _Named) -> Response:
    """Make the items that were read, put them into each index, and say what became of each."""
    runtime = call.runtime
    arms = {arm: runtime.deployments[arm] for arm in indexes}
    answer: PutItems = {"written": 0, "refused": [], "towers": {}, "took_ms": 0.0}
    with runtime.intake.room(len(read)):
        places, contents = await _contents(call, read, refused, named)
        try:
            work = runtime.intake.take(arms, contents)
            puts, found = await call.unless_gone(within(PATIENCE_S, work))
        except TimeoutError as error:
            raise Unavailable(
                f"the items were not worked on in {PATIENCE_S:g} s; nothing was done"
            ) from error
        for number, refusals in found.items():
            place = places[number]
            errors = [field_problem([named(place), each.field], str(each)) for each in refusals]
            refused[place] = {"id": contents[number].id, "errors": errors}
        ids = [content.id for number, content in enumerate(contents) if number not in found]
        if ids:

            async def upsert(arm: str, index: WritableIndex, deadline: Deadline) -> WriteResult:
                result = await index.upsert(puts[arm], deadline)
                await _keep_features(arms[arm], puts[arm])
                return result

            answer["towers"] = (await changed(call, "put items", indexes, ids, upsert))["towers"]
    runtime.metrics.items("put", len(ids))
    runtime.metrics.items("refused", len(refused))
    answer["refused"] = [refused[place] for place in sorted(refused)]
    if not ids:
        errors = [problem for item in answer["refused"] for problem in item["errors"]][:_MOST_TOLD]
        detail = f"{errors[0]['field'] or 'body'}: {errors[0]['reason']}"
        raise ProblemError(422, "invalid-request", detail, errors)
    answer["written"], answer["took_ms"] = len(ids), call.took_ms()
    return json_response(answer, status=207 if refused else 200)


async def _contents(
    call: Call, read: _Read, refused: _Refused, named: _Named
) -> tuple[list[int], list[ItemContent]]:
    """The items whose pictures are pictures, and their places; the heads are read on a thread."""
    limits = call.runtime.settings.limits
    bounds = {"max_bytes": limits.picture_bytes, "max_pixels": limits.picture_pixels}
    places: list[int] = []
    contents: list[ItemContent] = []
    for place, (row, item_id) in read.items():
        picture: QueryPicture | None = None
        if row.picture is not None:
            try:
                picture = await asyncio.to_thread(parse_picture, row.picture, **bounds)
            except FieldError as error:
                _refuse(refused, place, item_id, _joined(named(place), "picture"), str(error))
                continue
        text = ItemText(row.title, row.category, row.description)
        # As in a shop's files, where an empty string is a missing value.
        attributes = {name: None if value == "" else value for name, value in row.attributes.items()}
        places.append(place)
        contents.append(ItemContent(item_id, text, attributes, picture))
    return places, contents


async def _keep_features(deployment: Deployment, puts: Sequence[ItemPut]) -> None:
    """Put the items' features where histories take them from, and where `mrse produce follow` does."""
    features = {put.id: put.features for put in puts if put.features is not None}
    if deployment.produced is None:
        return
    try:
        await deployment.produced.put(features)
    except Unavailable:
        if deployment.features is deployment.produced:
            raise
        log.warning("features of items were not stored in redis, the index has them")


def _refuse(refused: _Refused, place: int, item_id: str, field: str, reason: str) -> None:
    refused[place] = {"id": item_id, "errors": [{"field": field or "body", "reason": reason}]}


def _joined(*parts: str) -> str:
    return ".".join(filter(None, parts))


def _path_id(request: Request) -> str:
    try:
        return NamedItem.model_validate({"item_id": request.path_params["item_id"]}).item_id
    except ValidationError as error:
        raise invalid_request(error) from error


#: Errors that are told of a call of which nothing could be taken.
_MOST_TOLD = 512
#: Characters of an id that is told back though it cannot be used.
_MOST_SHOWN = 128
_TOWERS = docs.parameter(
    "towers",
    "query",
    {"type": "string"},
    "The arm whose index is changed; every arm's where it is left out.",
    example="control",
)
_ITEM = docs.parameter("item_id", "path", {"type": "string", "maxLength": 128}, "The item.", example="i7")
_ROW: Mapping[str, Any] = {
    "title": "Trail running shoes, blue",
    "category": "Shoes > Running",
    "attributes": {"price": 89.5, "in_stock": True},
}
_PUT = docs.answer("On disk and in the next answer, of every arm.", PutItems)
_SOME = docs.answer("Some are, and some were refused: `refused` says which and why.", PutItems)
_GONE = docs.answer("They are in no answer from now on.", Changed)


def _route(
    endpoint: Any, path: str, method: str, summary: str, answers: Any, body: Any, *more: Any
) -> RawRoute:
    extra: dict[str, Any] = {"parameters": [*more, _TOWERS], "security": [{"token": []}]}
    if body is not None:
        extra["requestBody"] = body
    problems = docs.KEY_PROBLEMS if body is None else docs.BODY_PROBLEMS
    return RawRoute(
        path,
        endpoint,
        needs="write",
        methods=[method],
        summary=summary,
        tags=["items"],
        responses={**answers, **problems, **PROBLEMS},
        openapi_extra=extra,
    )


#: An item's id may hold slashes.
_ONE = "/items/{item_id:path}"
routes = [
    _route(
        put_items,
        "/items",
        "PUT",
        "Put items by content",
        {200: _PUT, 207: _SOME},
        docs.body(NewItems, {"one": {"value": {"items": [{"id": "i7", **_ROW}]}}}),
    ),
    _route(
        delete_items,
        "/items/delete",
        "POST",
        "Take items out",
        {200: _GONE},
        docs.body(GoneItems, {"two": {"value": {"ids": ["i7", "i8"]}}}),
    ),
    _route(
        put_item,
        _ONE,
        "PUT",
        "Put an item by content",
        {200: _PUT},
        docs.body(ItemRow, {"one": {"value": _ROW}}),
        _ITEM,
    ),
    _route(delete_item, _ONE, "DELETE", "Take an item out", {200: _GONE}, None, _ITEM),
]
