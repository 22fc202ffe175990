"""``GET /``: a shop to try queries in; it loads nothing from other hosts.

``/playground/…`` is what the page is made of, and what it shows of items beside their ids: titles, pictures
and attributes, from a file of previews. Those are there only where such a file is set; answers of
``POST /recall`` stay ids. Previews are read on a thread, so that recalls do not wait for a disk.
"""

from __future__ import annotations

import asyncio
import base64
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import orjson
from fastapi import Request, Response

from common.deadline import Deadline
from common.files import OutsideError, inside, read_bounded
from index.port import IndexUnavailable
from service.degraded import degraded_words
from service.errors import FieldError, NotReady
from service.http.columnar import json_response
from service.http.cost import query_parameters
from service.http.pages import cached_response, etag_of, file_response, media_type_of
from service.http.problems import ProblemError
from service.http.requests import runtime_of
from service.http.routing import RawRoute
from service.settings import Playground

if TYPE_CHECKING:
    from artifacts.previews import Preview, Previews
    from service.runtime import Runtime

#: Previews that one call gives.
MAX_PREVIEWS = 1000
_MAX_QUERY_BYTES = 65_536
_MAX_PICTURE_BYTES = 16 << 20
#: Pictures that come along with previews: small ones, so many, and so many bytes of them in all. A browser
#: has them at once, where it would ask for each by itself.
_ALONG_BYTES, _MOST_ALONG, _ALONG_TOTAL_BYTES = 16_384, 200, 524_288
#: How long a browser shows a picture without asking again, seconds.
_PICTURE_AGE_S = 3600
#: How long titles of items may take that only the index knows, seconds; then they show their ids.
_TITLES_WITHIN_S = 1.0
_FOLDER = "playground"


@cache
def _opened(path: Path) -> Previews:
    from artifacts.previews import Previews  # its library is loaded when the first preview is asked for

    return Previews.open(path)


def routes(settings: Playground) -> list[RawRoute]:
    """The routes of the page, none where it is off; those of previews with the file that is set."""
    if not settings.enabled:
        return []
    return [
        RawRoute("/", _file_endpoint("index.html"), needs=None, include_in_schema=False),
        *(
            RawRoute(f"/{_FOLDER}/{name}", _file_endpoint(name), needs=None, include_in_schema=False)
            for name in _parts()
        ),
        RawRoute("/playground/shop", _shop_endpoint(settings.previews), include_in_schema=False),
        *([] if settings.previews is None else _preview_routes(settings.previews)),
    ]


def _parts() -> list[str]:
    """The names of the scripts and styles of the page."""
    names = (entry.name for entry in files("service").joinpath(_FOLDER).iterdir())
    return sorted(name for name in names if name.endswith((".js", ".css")))


def _file_endpoint(name: str) -> Any:
    async def get_file(request: Request) -> Response:
        return file_response(request, f"{_FOLDER}/{name}")

    return get_file


def _shop_endpoint(path: Path | None) -> Any:
    async def get_shop(request: Request) -> Response:
        runtime = runtime_of(request)
        if not runtime.ready:
            raise NotReady(runtime.progress)
        about = {} if path is None else (await asyncio.to_thread(_opened, path)).about
        may_choose = "experiments" in runtime.guard.caller(request.scope).scopes
        return json_response(about | {"previews": path is not None} | _service(runtime, may_choose))

    return get_shop


def _service(runtime: Runtime, may_choose: bool) -> dict[str, Any]:
    """What of the service the page lets its user choose among."""
    book = runtime.experiments
    usual = book.assign("", None)
    deployment = runtime.deployments[usual.towers]
    words = "" if usual.recall.tables["lexical"].enabled else None
    arms: dict[str, list[str]] = {}
    for name, its in runtime.settings.experiments.items():
        arms[name] = [arm for arm, settings in its.items() if may_choose or settings.forced]
        for arm in arms[name]:
            chosen = f"{name}={arm}"
            if words is None and book.assign("", chosen, any_arm=True).recall.tables["lexical"].enabled:
                words = chosen
    return {
        "attributes": dict(deployment.index.attributes) if deployment.values is not None else {},
        "titles": deployment.titles is not None and deployment.values is not None,
        "routes": list(usual.recall.tables),
        "arms": {name: its for name, its in arms.items() if its},
        # What the words of `degraded` mean, in sentences.
        "degraded": dict(degraded_words()),
        # The value of X-Experiment by which items are searched by words; null where that cannot be had.
        "words": words if deployment.lexical is not None else None,
        "limits": {"k": runtime.settings.limits.max_k, "query": 512, "history": 200},
    }


def _preview_routes(path: Path) -> list[RawRoute]:
    async def get_previews(request: Request) -> Response:
        asked = query_parameters(request, MAX_PREVIEWS + 1, _MAX_QUERY_BYTES)
        ids = asked.getlist("item_id")
        if not 1 <= len(ids) <= MAX_PREVIEWS:
            raise FieldError("item_id", f"give 1 to {MAX_PREVIEWS} of them")
        along = asked.get("pictures", "false")
        if along not in ("true", "false"):
            raise FieldError("pictures", "give true or false")
        told = await asyncio.to_thread(_found, path, ids, along == "true")
        if missing := [item_id for item_id in ids if item_id not in told]:
            told |= await _put_since(runtime_of(request), missing)
        return json_response(told)

    async def get_picture(request: Request) -> Response:
        asked = query_parameters(request)
        row = asked.get("row", "")
        content, kind = await asyncio.to_thread(
            _picture, path, asked.get("item_id", ""), int(row) if row.isdecimal() and len(row) < 10 else None
        )
        if not content:
            raise ProblemError(404, "not-found", "this item has no picture")
        headers = {"Cache-Control": f"private, max-age={_PICTURE_AGE_S}"}
        return cached_response(request, content, kind, etag_of(content), headers)

    return [
        RawRoute("/playground/previews", get_previews, include_in_schema=False),
        RawRoute("/playground/picture", get_picture, include_in_schema=False),
    ]


async def _put_since(runtime: Runtime, ids: list[str]) -> dict[str, dict[str, Any]]:
    """The titles of items that the index has and the shop's files have not: those put since."""
    titles = (
        runtime.deployments[runtime.experiments.assign("", None).towers].titles if runtime.ready else None
    )
    if titles is None:
        return {}
    try:
        found = await titles.titles(ids, Deadline.after(_TITLES_WITHIN_S))
    except IndexUnavailable:
        return {}
    return {
        item_id: {"title": title, "category": "", "picture": None, "attributes": {}}
        for item_id, title in found.items()
    }


def _found(path: Path, ids: list[str], along: bool) -> dict[str, dict[str, Any]]:
    """What is told of items; ``along`` with their small pictures, as addresses that hold them."""
    previews = _opened(path)
    found = previews.of(ids)
    told = {item_id: _told(item_id, preview) for item_id, preview in found.items()}
    if not along or previews.pictures is None:
        return told
    left = _ALONG_TOTAL_BYTES
    for item_id in [item_id for item_id in told if told[item_id]["picture"] is not None][:_MOST_ALONG]:
        picture = found[item_id].picture
        content = _content(previews.pictures, picture, min(left, _ALONG_BYTES))
        if content:
            left -= len(content)
            address = f"data:{media_type_of(picture)};base64,{base64.b64encode(content).decode()}"
            told[item_id]["data"] = address
    return told


def _told(item_id: str, preview: Preview) -> dict[str, Any]:
    """An item as the page gets it. A picture is found by its row without a search for the id."""
    picture = f"{_FOLDER}/picture?" + urlencode({"item_id": item_id, "row": preview.row})
    return {
        "title": preview.title,
        "category": preview.category,
        "picture": picture if media_type_of(preview.picture) else None,
        "attributes": orjson.Fragment(preview.attributes),
    }


def _picture(path: Path, item_id: str, row: int | None) -> tuple[bytes, str]:
    """The file and the media type of an item's picture; no bytes where it has none that may be shown."""
    previews = _opened(path)
    preview = previews.at(item_id, row)
    kind = None if preview is None else media_type_of(preview.picture)
    if preview is None or kind is None or previews.pictures is None:
        return b"", ""
    return _content(previews.pictures, preview.picture, _MAX_PICTURE_BYTES), kind


def _content(pictures: Path, name: str, most: int) -> bytes:
    """The bytes of a picture; none where it has over ``most``, or cannot be read, or lies elsewhere."""
    try:
        return read_bounded(inside(pictures, name), most)
    except (OSError, OutsideError):
        return b""
