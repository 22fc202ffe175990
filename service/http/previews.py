"""What the playground shows of items beside their ids: titles and pictures, from a file of item previews.

For people who try queries; answers of ``POST /recall`` stay ids. Mounted only where such a file is set.
"""

from __future__ import annotations

import asyncio
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import Request, Response

from service.http.columnar import json_response
from service.http.problems import ProblemError, invalid_field
from service.http.routing import RawRoute

if TYPE_CHECKING:
    import pyarrow as pa

#: Previews that one call gives.
MAX_PREVIEWS = 1000
_MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


class ItemPreviews:
    """A Parquet file with the columns ``id``, ``title``, ``category`` and ``picture`` (a path, or null).

    Read when the first preview is asked for, and only then is the library for Parquet loaded.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _table(self) -> pa.Table:
        import pyarrow.parquet as pq

        return pq.read_table(self._path, columns=["id", "title", "category", "picture"])

    def get(self, ids: list[str]) -> dict[str, dict[str, str]]:
        """The rows of the items that have a preview, by id; what is null is empty."""
        import pyarrow.compute as pc

        found = self._table.filter(pc.field("id").isin(ids)).to_pylist()
        return {row["id"]: {name: value or "" for name, value in row.items()} for row in found}


def routes(path: Path) -> list[RawRoute]:
    """The routes, over the file of previews at ``path``."""
    previews = ItemPreviews(path)

    async def get_previews(request: Request) -> Response:
        ids = request.query_params.getlist("item_id")
        if not 1 <= len(ids) <= MAX_PREVIEWS:
            raise invalid_field("item_id", f"give 1 to {MAX_PREVIEWS} of them")
        found = await asyncio.to_thread(previews.get, ids)
        return json_response(
            {
                item_id: {"title": row["title"], "category": row["category"], "picture": bool(row["picture"])}
                for item_id, row in found.items()
            }
        )

    async def get_picture(request: Request) -> Response:
        item_id = request.query_params.get("item_id", "")
        found = await asyncio.to_thread(previews.get, [item_id])
        file = Path(found[item_id]["picture"]) if item_id in found else Path()
        kind = _MEDIA_TYPES.get(file.suffix.lower())
        if kind is None or not file.is_file():
            raise ProblemError(404, "not-found", "this item has no picture")
        content = await asyncio.to_thread(file.read_bytes)
        headers = {"Cache-Control": "max-age=3600", "X-Content-Type-Options": "nosniff"}
        return Response(content, headers=headers, media_type=kind)

    return [
        RawRoute(f"/playground/{name}", endpoint, methods=["GET"], include_in_schema=False)
        for name, endpoint in (("previews", get_previews), ("picture", get_picture))
    ]
