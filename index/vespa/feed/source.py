"""What is fed: an embeddings folder, or a file of changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from artifacts.embeddings import EmbeddingsError, EmbeddingsFolder
from common.arrays import F16, F32
from index.filters import CATEGORY, category_prefixes
from index.port import AttributeKind
from index.vespa.feed.operations import ItemRefused, Operation, Operations, Rejected
from index.vespa.settings import VespaSettings
from index.vespa.tensors import bfloat16_hex, unit_rows

Settled = Callable[[int], bool]
_BATCH = 1024


def new_feed_version() -> int:
    """A feed version later than all before it: microseconds since 1970."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class EmbeddingsSource:
    """An embeddings folder as puts, one an item, numbered by row.

    Vectors are read as fp16, normalised in float32 and then rounded to bfloat16: fp16 rounding leaves them
    up to 0.1% off unit length, and Vespa's closeness does not divide that out.
    """

    folder: EmbeddingsFolder
    attributes: Mapping[str, AttributeKind]

    @classmethod
    def open(cls, path: Path) -> EmbeddingsSource:
        """Read what the folder says of itself.

        Raises:
            EmbeddingsError: a file is missing, or not as it should be.
        """
        folder = EmbeddingsFolder.open(path)
        _ = folder.vectors  # before the feed begins
        return cls(folder, {**folder.attributes, CATEGORY: "list"})

    @property
    def bundle_version(self) -> str:
        """Version of the bundle that made the embeddings."""
        return self.folder.meta.bundle_version

    @property
    def rows(self) -> int:
        """Items in all."""
        return self.folder.meta.rows

    @property
    def dimension(self) -> int:
        """Width of an embedding."""
        return self.folder.meta.dim

    @property
    def fingerprint(self) -> str:
        """Bundle, shop and number of items."""
        return f"{self.bundle_version}:{self.folder.meta.data}:{self.rows}"

    def operations(
        self, settings: VespaSettings, feed_ver: int, settled: Settled
    ) -> Iterator[tuple[int, Operation | Rejected]]:
        """Puts in row order; rows that are settled are numbered and not built.

        Raises:
            EmbeddingsError: the folder belongs to another version, or is damaged.
        """
        self._belongs(settings)
        operations = Operations(settings)
        vectors = self.folder.vectors
        row = 0
        for batch in self.folder.batches(["id", CATEGORY, *self.folder.attributes], _BATCH):
            count = len(batch["id"])
            wanted = [i for i in range(count) if not settled(row + i)]
            embeddings = _embeddings(vectors[row : row + count], wanted)
            for i, embedding in zip(wanted, embeddings, strict=True):
                item_id = batch["id"][i]
                attributes = {name: column[i] for name, column in batch.items() if name != "id"}
                attributes[CATEGORY] = category_prefixes(attributes[CATEGORY] or "")
                try:
                    if isinstance(embedding, ValueError):
                        raise ItemRefused(str(embedding)) from embedding
                    yield row + i, operations.put_rounded(item_id, embedding, attributes, feed_ver)
                except ItemRefused as error:
                    yield row + i, Rejected(str(item_id), str(error))
            row += count

    def _belongs(self, settings: VespaSettings) -> None:
        if settings.bundle_version != self.bundle_version:
            raise EmbeddingsError(
                self.folder.path,
                f"made by bundle {self.bundle_version}, but fed to bundle {settings.bundle_version}",
            )
        if settings.dimension != self.dimension:
            raise EmbeddingsError(
                self.folder.path, f"vectors of width {self.dimension}, the schema has {settings.dimension}"
            )
        missing = self.attributes.items() - settings.attributes.items()
        if missing:
            names = ", ".join(sorted(f"{name} ({kind})" for name, kind in missing))
            raise EmbeddingsError(self.folder.path / "schema.json", f"the deployed schema lacks {names}")


@dataclass(frozen=True, slots=True)
class ChangesSource:
    """A file of changes, one JSON object a line, numbered without empty lines::

        {"id": "a1", "feed_ver": 17, "attributes": {"price": 9.5, "in_stock": false}}
        {"id": "a2", "feed_ver": 18, "remove": true}
        {"id": "a3", "feed_ver": 19, "vector": [0.1, …], "attributes": {"category": "Shoes > Running"}}

    Without ``vector`` the named attributes are updated and the vector is not touched; null takes an
    attribute away. With it the whole document is put. ``feed_ver`` orders changes of an item; without it
    the time of the feed is taken.
    """

    path: Path

    @property
    def fingerprint(self) -> str:
        """Name, size and time of change of the file."""
        facts = self.path.stat()
        return f"{self.path.name}:{facts.st_size}:{facts.st_mtime_ns}"

    def operations(
        self, settings: VespaSettings, feed_ver: int, settled: Settled
    ) -> Iterator[tuple[int, Operation | Rejected]]:
        """Operations in the order of the file; a line that cannot be used is rejected."""
        operations = Operations(settings)
        with self.path.open("rb") as file:
            lines = ((place, line) for place, line in enumerate(file, 1) if line.strip())
            for number, (place, line) in enumerate(lines):
                if settled(number):
                    continue
                try:
                    yield number, _change(operations, orjson.loads(line), feed_ver)
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    yield number, Rejected(f"line {place}", f"{type(error).__name__}: {error}")


def _change(operations: Operations, change: Mapping[str, Any], feed_ver: int) -> Operation:
    if unknown := change.keys() - {"id", "feed_ver", "attributes", "vector", "remove"}:
        raise ItemRefused(f"unknown keys {', '.join(sorted(unknown))}")
    item_id, version = change["id"], change.get("feed_ver", feed_ver)
    if type(version) is not int:
        raise ItemRefused("feed_ver is no integer")
    if change.get("remove") is True:
        return operations.remove(item_id, version)
    attributes = dict(change.get("attributes", {}))
    if isinstance(attributes.get(CATEGORY), str):
        attributes[CATEGORY] = category_prefixes(attributes[CATEGORY])
    if "vector" in change:
        return operations.put(item_id, np.asarray(change["vector"], np.float32), attributes, version)
    return operations.update(item_id, attributes, version)


def _embeddings(vectors: F16, wanted: list[int]) -> list[str | ValueError]:
    """Hex of the wanted rows; where a batch has a row without direction, row by row."""
    rows = np.asarray(vectors[wanted], dtype=np.float32)
    try:
        return list(bfloat16_hex(unit_rows(rows)))
    except ValueError:
        return [_embedding(row) for row in rows]


def _embedding(row: F32) -> str | ValueError:
    try:
        return bfloat16_hex(unit_rows(row[None]))[0]
    except ValueError as error:
        return error
