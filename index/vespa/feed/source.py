"""What is fed: an embeddings folder, or a file of changes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow.parquet as pq

from index.filters import CATEGORY, category_prefixes
from index.port import AttributeKind
from index.vespa.errors import RuleBroken
from index.vespa.feed.operations import Operation, Operations, Rejected
from index.vespa.settings import VespaSettings
from index.vespa.tensors import bfloat16_hex, unit_rows

Settled = Callable[[int], bool]
_BATCH = 1024


class SourceRefused(ValueError):  # noqa: N818 -- the state of a file
    """A folder or file that cannot be fed; ``file`` says which is wrong."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file


def new_feed_version() -> int:
    """A feed version later than all before it: microseconds since 1970."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class EmbeddingsSource:
    """An embeddings folder as puts, one an item, numbered by row.

    Vectors are read as fp16, normalised in float32 and then rounded to bfloat16: fp16 rounding leaves them
    up to 0.1% off unit length, and Vespa's closeness does not divide that out.
    """

    folder: Path
    bundle_version: str
    rows: int
    dimension: int
    attributes: Mapping[str, AttributeKind]
    fingerprint: str

    @classmethod
    def open(cls, folder: Path) -> EmbeddingsSource:
        """Read what the folder says of itself.

        Raises:
            SourceRefused: a file is missing, or not as it should be.
        """
        meta, schema = _json(folder / "meta.json"), _json(folder / "schema.json")
        try:
            if meta["format"] != 1:
                raise SourceRefused(folder / "meta.json", f"format {meta['format']}; this reads format 1")
            attributes = dict(schema["attributes"])
            source = cls(
                folder=folder,
                bundle_version=str(meta["bundle_version"]),
                rows=int(meta["rows"]),
                dimension=int(meta["dim"]),
                attributes={**attributes, CATEGORY: "list"},
                fingerprint=f"{meta['bundle_version']}:{meta.get('data', '')}:{meta['rows']}",
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, SourceRefused):
                raise
            raise SourceRefused(folder / "meta.json", f"not as expected: {error!r}") from error
        shape = source.vectors().shape
        if shape != (source.rows, source.dimension):
            raise SourceRefused(folder / "embeddings.npy", f"has shape {shape}, not what meta.json says")
        return source

    def vectors(self) -> npt.NDArray[np.float16]:
        """The embeddings as they lie: float16 ``[rows, dim]``, memory-mapped.

        Raises:
            SourceRefused: the file is missing or damaged.
        """
        file = self.folder / "embeddings.npy"
        try:
            vectors: npt.NDArray[np.float16] = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, EOFError, ValueError) as error:
            raise SourceRefused(file, f"cannot be read: {error}") from error
        if vectors.dtype != np.float16 or vectors.ndim != 2:
            raise SourceRefused(file, f"holds {vectors.dtype} of {vectors.ndim} dimensions, not float16 of 2")
        return vectors

    def ids(self) -> list[str]:
        """Item ids in row order.

        Raises:
            SourceRefused: the items file is missing or damaged.
        """
        return [item for batch in self._batches(["id"]) for item in batch["id"]]

    def operations(
        self, settings: VespaSettings, feed_ver: int, settled: Settled
    ) -> Iterator[tuple[int, Operation | Rejected]]:
        """Puts in row order; rows that are settled are numbered and not built.

        Raises:
            SourceRefused: the folder belongs to another version, or is damaged.
        """
        self._belongs(settings)
        operations = Operations(settings)
        vectors = self.vectors()
        row = 0
        for batch in self._batches(["id", CATEGORY, *(name for name in self.attributes if name != CATEGORY)]):
            count = len(batch["id"])
            wanted = [i for i in range(count) if not settled(row + i)]
            embeddings = _embeddings(vectors[row : row + count], wanted)
            for i, embedding in zip(wanted, embeddings, strict=True):
                item_id = batch["id"][i]
                attributes = {name: column[i] for name, column in batch.items() if name != "id"}
                attributes[CATEGORY] = category_prefixes(attributes[CATEGORY] or "")
                try:
                    if isinstance(embedding, ValueError):
                        raise RuleBroken(str(embedding)) from embedding
                    yield row + i, operations.put_rounded(item_id, embedding, attributes, feed_ver)
                except RuleBroken as error:
                    yield row + i, Rejected(str(item_id), str(error))
            row += count
        if row != self.rows:
            raise SourceRefused(self.folder / "items.parquet", f"has {row} rows, meta.json says {self.rows}")

    def _belongs(self, settings: VespaSettings) -> None:
        if settings.bundle_version != self.bundle_version:
            raise SourceRefused(
                self.folder,
                f"made by bundle {self.bundle_version}, but fed to bundle {settings.bundle_version}",
            )
        if settings.dimension != self.dimension:
            raise SourceRefused(
                self.folder, f"vectors of width {self.dimension}, the schema has {settings.dimension}"
            )
        missing = self.attributes.items() - settings.attributes.items()
        if missing:
            names = ", ".join(sorted(f"{name} ({kind})" for name, kind in missing))
            raise SourceRefused(self.folder / "schema.json", f"the deployed schema lacks {names}")

    def _batches(self, columns: list[str]) -> Iterator[dict[str, list[Any]]]:
        file = self.folder / "items.parquet"
        try:
            with pq.ParquetFile(file) as table:
                for batch in table.iter_batches(batch_size=_BATCH, columns=columns):
                    if missing := set(columns) - set(batch.schema.names):
                        raise SourceRefused(file, f"lacks the columns {', '.join(sorted(missing))}")
                    yield batch.to_pydict()
        except OSError as error:
            raise SourceRefused(file, f"cannot be read: {error}") from error


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
                except (RuleBroken, ValueError, KeyError, TypeError, AttributeError) as error:
                    yield number, Rejected(f"line {place}", f"{type(error).__name__}: {error}")


def _change(operations: Operations, change: Mapping[str, Any], feed_ver: int) -> Operation:
    if unknown := change.keys() - {"id", "feed_ver", "attributes", "vector", "remove"}:
        raise RuleBroken(f"unknown keys {', '.join(sorted(unknown))}")
    item_id, version = change["id"], change.get("feed_ver", feed_ver)
    if type(version) is not int:
        raise RuleBroken("feed_ver is no integer")
    if change.get("remove") is True:
        return operations.remove(item_id, version)
    attributes = dict(change.get("attributes", {}))
    if isinstance(attributes.get(CATEGORY), str):
        attributes[CATEGORY] = category_prefixes(attributes[CATEGORY])
    if "vector" in change:
        return operations.put(item_id, np.asarray(change["vector"], np.float32), attributes, version)
    return operations.update(item_id, attributes, version)


def _embeddings(vectors: npt.NDArray[np.float16], wanted: list[int]) -> list[str | ValueError]:
    """Hex of the wanted rows; where a batch has a row without direction, row by row."""
    rows = np.asarray(vectors[wanted], dtype=np.float32)
    try:
        return list(bfloat16_hex(unit_rows(rows)))
    except ValueError:
        return [_embedding(row) for row in rows]


def _embedding(row: npt.NDArray[np.float32]) -> str | ValueError:
    try:
        return bfloat16_hex(unit_rows(row[None]))[0]
    except ValueError as error:
        return error


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SourceRefused(path, f"cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise SourceRefused(path, "is no JSON object")
    return content
