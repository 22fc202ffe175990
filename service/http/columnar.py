"""The columnar form of an answer: the same content, with the items as arrays instead of objects.

Chosen with ``Accept: application/vnd.mrse.columnar+json``. Problems stay problems, whatever was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Annotated, Any, NotRequired

import orjson
from fastapi import Response
from pydantic import Field
from typing_extensions import TypedDict

from common.schema import OMITTED, closed
from service.recall.routes.outcome import Item, RouteName

MEDIA_TYPE = "application/vnd.mrse.columnar+json"
DEFAULT_TYPE = "application/json"
#: Characters of an ``Accept`` that is read; browsers send a hundred.
_LONGEST_ACCEPT = 1024
_ID, _SCORE, _SOURCES = itemgetter("item_id"), itemgetter("score"), itemgetter("sources")
#: Keys of two items that have nothing beside id, score and sources.
_PLAIN = 6
_ROUTE, _RANK = itemgetter("route"), itemgetter("rank")


@closed
class SourceColumns(TypedDict):
    """All sources of all items as columns, in the order of the items; a row is one source."""

    item: Annotated[list[int], Field(description="Place of the source's item in `item_id`, from 0.")]
    route: list[RouteName]
    trigger: Annotated[list[str | None], Field(description="null for q2i.")]
    rank: list[int]
    score: list[float]


@closed
class ItemColumns(TypedDict):
    """The items of an answer as columns, best first; the fields are those of `Item` and `Source`."""

    item_id: list[str]
    score: list[float]
    sources: SourceColumns
    pinned: NotRequired[
        Annotated[list[bool] | None, Field(description="Where a rule pinned items."), OMITTED]
    ]
    fields: NotRequired[
        Annotated[list[dict[str, Any]] | None, Field(description="Where attributes were asked for."), OMITTED]
    ]
    team: NotRequired[Annotated[list[str] | None, Field(description="With merge=interleave."), OMITTED]]


def wants_columns(accept: str | None) -> bool:
    """Whether ``Accept`` names the columnar form and does not prefer ``application/json`` to it."""
    if accept is None or "columnar" not in accept.lower():  # nearly every request ends here
        return False
    if len(accept) > _LONGEST_ACCEPT:
        return False
    quality = dict(_weighted(part) for part in accept.split(","))
    wanted = quality.get(MEDIA_TYPE, 0.0)
    return wanted > 0.0 and wanted >= quality.get(DEFAULT_TYPE, 0.0)


def columns(items: Sequence[Item]) -> ItemColumns:
    """The items of the default form as columns."""
    sources: list[Any] = []
    places: list[int] = []
    for place, found in enumerate(map(_SOURCES, items)):
        sources += found
        places += repeat(place, len(found))
    form: ItemColumns = {
        "item_id": list(map(_ID, items)),
        "score": list(map(_SCORE, items)),
        "sources": {
            "item": places,
            "route": list(map(_ROUTE, sources)),
            "trigger": [source.get("trigger") for source in sources],
            "rank": list(map(_RANK, sources)),
            "score": list(map(_SCORE, sources)),
        },
    }
    if items and len(items[0]) + len(items[-1]) > _PLAIN:  # those in between have no more than these
        if any("pinned" in item for item in items):
            form["pinned"] = [bool(item.get("pinned")) for item in items]
        if any("fields" in item for item in items):
            form["fields"] = [item.get("fields") or {} for item in items]
        if any("team" in item for item in items):
            form["team"] = [item.get("team") or "" for item in items]
    return form


def json_response(
    answer: Mapping[str, Any], media_type: str = DEFAULT_TYPE, /, status: int = 200, **headers: str
) -> Response:
    """An answer as JSON."""
    return Response(orjson.dumps(answer), status, headers=headers, media_type=media_type)


def _weighted(part: str) -> tuple[str, float]:
    """A media type of ``Accept`` and its quality; one that cannot be read counts as refused."""
    essence, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return essence, float(value)
            except ValueError:
                return essence, 0.0
    return essence, 1.0
