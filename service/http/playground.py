"""``GET /``: a page to try queries on; it loads nothing from other hosts.

``/playground/…`` is what it shows of items beside their ids: titles and pictures, from a file of item
previews. Mounted only where such a file is set; answers of ``POST /recall`` stay ids.
"""

from __future__ import annotations

import asyncio
import os
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from fastapi import Request, Response

from common.files import OutsideError, inside, read_bounded
from service.errors import FieldError
from service.http.columnar import json_response
from service.http.cost import query_parameters
from service.http.pages import page_response
from service.http.problems import ProblemError
from service.http.routing import RawRoute

if TYPE_CHECKING:
    import pyarrow as pa

#: Previews that one call gives.
MAX_PREVIEWS = 1000
_MAX_QUERY_BYTES = 65_536
_MAX_PICTURE_BYTES = 16 << 20
_MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


async def get_playground(request: Request) -> Response:
    """The page."""
    return page_response("playground.html")


@cache
def _table(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.read_table(path, columns=["id", "title", "category", "picture"])


def _previews(path: Path, ids: list[str]) -> dict[str, dict[str, str]]:
    """The rows of the items that have a preview, by id; what is null is empty."""
    import pyarrow.compute as pc

    found = _table(path).filter(pc.field("id").isin(ids)).to_pylist()
    return {row["id"]: {name: value or "" for name, value in row.items()} for row in found}


def _picture(path: Path, item_id: str) -> tuple[bytes, str]:
    """The file and the media type of an item's picture; no bytes where it has none that may be shown."""
    picture = _previews(path, [item_id]).get(item_id, {}).get("picture", "")
    kind = _MEDIA_TYPES.get(PurePath(picture).suffix.lower())
    folder = (_table(path).schema.metadata or {}).get(b"pictures")
    if kind is None or folder is None:
        return b"", ""
    try:
        return read_bounded(inside(Path(os.fsdecode(folder)), picture), _MAX_PICTURE_BYTES), kind
    except (OSError, OutsideError):
        return b"", ""


def routes(path: Path | None) -> list[RawRoute]:
    """The routes; those of previews with the file at ``path``.

    It is a Parquet file with the columns ``id``, ``title``, ``category`` and ``picture`` (a path below the
    folder that its metadata name as ``pictures``, or null), read when the first preview is asked for, and
    only then is the library for Parquet loaded.
    """
    page = RawRoute("/", get_playground, needs=None, include_in_schema=False)
    if path is None:
        return [page]

    async def get_previews(request: Request) -> Response:
        ids = query_parameters(request, MAX_PREVIEWS, _MAX_QUERY_BYTES).getlist("item_id")
        if not 1 <= len(ids) <= MAX_PREVIEWS:
            raise FieldError("item_id", f"give 1 to {MAX_PREVIEWS} of them")
        found = await asyncio.to_thread(_previews, path, ids)
        return json_response(
            {
                item_id: {"title": row["title"], "category": row["category"], "picture": bool(row["picture"])}
                for item_id, row in found.items()
            }
        )

    async def get_picture(request: Request) -> Response:
        item_id = query_parameters(request).get("item_id", "")
        content, kind = await asyncio.to_thread(_picture, path, item_id)
        if not content:
            raise ProblemError(404, "not-found", "this item has no picture")
        headers = {"Cache-Control": "max-age=3600", "X-Content-Type-Options": "nosniff"}
        return Response(content, headers=headers, media_type=kind)

    return [
        page,
        RawRoute("/playground/previews", get_previews, include_in_schema=False),
        RawRoute("/playground/picture", get_picture, include_in_schema=False),
    ]
