"""What is fed: an embeddings folder, or a file of changes; each as numbered operations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import orjson

from artifacts.attributes import CATEGORY
from artifacts.embeddings import EmbeddingsError, EmbeddingsFolder
from index.vespa.feed.operations import ItemRefused, Numbered, Operation, Operations, Rejected
from index.vespa.version import Version

#: Whether the operation of a number needs no sending.
IsSettled: TypeAlias = Callable[[int], bool]

#: Rows of the folder that are read at once.
_BATCH: Final = 1024


def new_feed_version() -> int:
    """A feed version later than all before it: microseconds since 1970."""
    return time.time_ns() // 1000


class FeedSource(Protocol):
    """Gives the same operations with the same numbers whenever it is asked."""

    @property
    def fingerprint(self) -> str:
        """Equal for equal operations; a journal belongs to it."""

    @property
    def total(self) -> int | None:
        """Operations in all; None while nobody knows."""

    def operations(self, version: Version, feed_ver: int, settled: IsSettled) -> Iterator[Numbered]:
        """Operations with their numbers; those that are settled are not made.

        Args:
            version: what is fed.
            feed_ver: the order of operations that have none of their own.
            settled: which numbers to leave out.
        """


@dataclass(frozen=True, slots=True)
class EmbeddingsSource:
    """An embeddings folder as puts, one an item, numbered by row.

    Vectors are read as fp16, normalised in float32 and then rounded to bfloat16: fp16 rounding leaves them
    up to 0.1% off unit length, and Vespa's closeness does not divide that out.
    """

    folder: EmbeddingsFolder

    @property
    def fingerprint(self) -> str:
        """Bundle, shop and number of items."""
        meta = self.folder.meta
        return f"{meta.bundle_version}:{meta.data}:{meta.rows}"

    @property
    def total(self) -> int:
        """Items in all."""
        return self.folder.meta.rows

    def operations(self, version: Version, feed_ver: int, settled: IsSettled) -> Iterator[Numbered]:
        """See `FeedSource.operations`.

        Raises:
            EmbeddingsError: the folder belongs to another version, or is damaged.
        """
        self._check_version(version)
        operations, vectors = Operations(version), self.folder.vectors
        first = 0
        for batch in self.folder.batches(["id", CATEGORY, *self.folder.attributes], _BATCH):
            ids = batch.pop("id")
            for place, item_id in enumerate(ids):
                if settled(first + place):
                    continue
                attributes = {name: column[place] for name, column in batch.items()}
                try:
                    yield first + place, operations.put(item_id, vectors[first + place], attributes, feed_ver)
                except ValueError as error:
                    yield first + place, Rejected(str(item_id), str(error))
            first += len(ids)

    def _check_version(self, version: Version) -> None:
        path, meta = self.folder.path, self.folder.meta
        if version.bundle_version != meta.bundle_version:
            reason = f"made by bundle {meta.bundle_version}, but fed to bundle {version.bundle_version}"
            raise EmbeddingsError(path, reason)
        if version.dimension != meta.dim:
            raise EmbeddingsError(path, f"vectors of width {meta.dim}, the schema has {version.dimension}")
        if missing := self.folder.attributes.items() - version.attributes.items():
            names = ", ".join(sorted(f"{name} ({kind})" for name, kind in missing))
            raise EmbeddingsError(path / "schema.json", f"the deployed schema lacks {names}")


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

    @property
    def total(self) -> None:
        """Unknown: the lines are not counted."""

    def operations(self, version: Version, feed_ver: int, settled: IsSettled) -> Iterator[Numbered]:
        """See `FeedSource.operations`; a line that cannot be used is rejected."""
        operations = Operations(version)
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
    item_id, feed_ver = change["id"], change.get("feed_ver", feed_ver)
    if type(feed_ver) is not int:
        raise ItemRefused("feed_ver is no integer")
    if change.get("remove") is True:
        return operations.remove(item_id, feed_ver)
    attributes = dict(change.get("attributes", {}))
    if "vector" in change:
        return operations.put(item_id, np.asarray(change["vector"], np.float32), attributes, feed_ver)
    return operations.update(item_id, attributes, feed_ver)
