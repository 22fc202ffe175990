"""Files of changes, applied to an index folder beside the servers that have it open."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import islice, repeat
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import orjson

from artifacts.attributes import CATEGORY
from artifacts.embeddings import EmbeddingsError, EmbeddingsFolder
from common.deadline import Deadline
from common.errors import MrseError
from common.progress import StageProgress
from index.changes import ItemPut, ItemUpdate, WriteResult
from index.embedded.index import EmbeddedIndex

#: Changes of a call, and how long a call may take, in seconds.
_BATCH = 500
_PATIENCE = 600.0
T = TypeVar("T")


class ChangesRefused(MrseError, ValueError):  # noqa: N818 -- the state of a file
    """A file of changes that cannot be read; the message names file and line."""


async def upsert_embeddings(root: Path, embeddings: Path, progress: StageProgress) -> WriteResult:
    """Put every item of an embeddings folder.

    Raises:
        EmbeddingsError: the folder cannot be read, or another bundle made it.
        ChangeRefused: an item does not fit; items before it are put.
    """
    folder = EmbeddingsFolder.open(embeddings)
    async with _opened(root) as index:
        if folder.meta.bundle_version != index.bundle_version:
            ours, theirs = index.bundle_version, folder.meta.bundle_version
            raise EmbeddingsError(embeddings / "meta.json", f"is of bundle {theirs}, the index of {ours}")
        names = [name for name in folder.attributes if name in index.attributes]
        fields = index.text_fields
        pictured = folder.meta.picture_dim > 0 and folder.meta.picture_dim == index.picture_dim

        def puts() -> Iterator[ItemPut]:
            row = 0
            texts: Iterator[Sequence[Mapping[str, str]]] = repeat([{}] * _BATCH)
            if fields and folder.meta.text_fields:
                texts = folder.texts(_BATCH)
            batches = folder.batches(["id", CATEGORY, *names], _BATCH)
            for batch, said in zip(batches, texts, strict=False):
                rows = np.arange(row, row + len(batch["id"]))
                row += len(rows)
                vectors, features = folder.checked_vectors(rows), folder.checked_features(rows)
                pictures = folder.checked_pictures(rows).astype(np.float32) if pictured else None
                for place, item_id in enumerate(batch["id"]):
                    yield ItemPut(
                        item_id,
                        vectors[place].astype(np.float32),
                        features[place],
                        batch[CATEGORY][place] or "",
                        {name: batch[name][place] for name in names},
                        {name: text for name, text in said[place].items() if name in fields},
                        picture=None if pictures is None or not pictures[place].any() else pictures[place],
                    )

        return await _in_batches(puts(), index.upsert, folder.meta.rows, progress)


async def update_from(root: Path, changes: Path, progress: StageProgress) -> WriteResult:
    """Change attributes as a JSON Lines file says: ``{"id": "42", "price": 9.5, "category": "Shoes"}``.

    ``"texts": {"title": "…"}`` changes what the item is found by word for word.

    Raises:
        ChangesRefused: a line is no such object.
        ChangeRefused: a change does not fit; changes before it are made.
    """

    def updates() -> Iterator[ItemUpdate]:
        with changes.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _update(changes, number, line)

    async with _opened(root) as index:
        return await _in_batches(updates(), index.update, None, progress)


async def remove_ids(root: Path, ids: Sequence[str], progress: StageProgress) -> WriteResult:
    """Delete items."""
    async with _opened(root) as index:
        return await _in_batches(iter(ids), index.remove, len(ids), progress)


def _update(path: Path, number: int, line: bytes) -> ItemUpdate:
    try:
        fields: Any = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ChangesRefused(f"{path}:{number}: not JSON: {error}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("id"), str):
        raise ChangesRefused(f"{path}:{number}: expected an object with an id that is a string")
    item_id, category = fields.pop("id"), fields.pop(CATEGORY, None)
    # An attribute may be called texts; it is never an object.
    texts = fields.pop("texts") if isinstance(fields.get("texts"), dict) else {}
    return ItemUpdate(item_id, fields, category, texts)


@asynccontextmanager
async def _opened(root: Path) -> AsyncIterator[EmbeddedIndex]:
    index = EmbeddedIndex.open(root, verify=False)
    try:
        yield index
    finally:
        await index.close()


async def _in_batches(
    changes: Iterator[T],
    write: Callable[[Sequence[T], Deadline], Awaitable[WriteResult]],
    total: int | None,
    progress: StageProgress,
) -> WriteResult:
    written, done = 0, 0
    unknown: list[str] = []
    while batch := list(islice(changes, _BATCH)):
        result = await write(batch, Deadline.after(_PATIENCE))
        written += result.written
        done += len(batch)
        unknown += result.unknown
        progress(done, total)
    return WriteResult(written, tuple(unknown))
