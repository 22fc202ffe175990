"""The columnar form of an answer: the same content, with the items as arrays instead of objects.

Chosen with ``Accept: application/vnd.mrse.columnar+json``. Problems stay problems, whatever was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from operator import itemgetter
from typing import Any

from fastapi import Request

from service.recall.outcome import Item

MEDIA_TYPE = "application/vnd.mrse.columnar+json"
DEFAULT_TYPE = "application/json"
_ID, _SCORE, _SOURCES = itemgetter("item_id"), itemgetter("score"), itemgetter("sources")
_ROUTE, _RANK = itemgetter("route"), itemgetter("rank")


def wants_columns(request: Request) -> bool:
    """Whether the client names the columnar form and does not prefer ``application/json`` to it."""
    accept = request.headers.get("accept")
    if accept is None or "columnar" not in accept.lower():  # nearly every request ends here
        return False
    quality = dict(_weighted(part) for part in accept.split(","))
    wanted = quality.get(MEDIA_TYPE, 0.0)
    return wanted > 0.0 and wanted >= quality.get(DEFAULT_TYPE, 0.0)


def columns(items: Sequence[Item]) -> dict[str, Any]:
    """Items as columns; described by `service.http.schemas.ItemColumns`."""
    sources: list[Any] = []
    places: list[int] = []
    for place, found in enumerate(map(_SOURCES, items)):
        sources += found
        places += repeat(place, len(found))
    return {
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
