"""What is fed, as numbered operations: an embeddings folder here, a file of changes in `changes`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, repeat
from typing import Final, Protocol, TypeAlias

import numpy as np

from artifacts.attributes import CATEGORY
from artifacts.embeddings import EmbeddingsError, EmbeddingsFolder
from artifacts.embeddings.folder import META_NAME, VECTORS_NAME
from common.arrays import F16
from index.vespa import names
from index.vespa.feed.ledger import Ledger
from index.vespa.feed.merged import Merged
from index.vespa.feed.operations import AttributeValue, Numbered, Operation, Operations, Rejected
from index.vespa.feed.siblings import Sibling
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

    @property
    def ledger(self) -> Ledger:
        """Where others write changes meanwhile; looked at whenever an operation is sent, and afterwards."""

    def operations(self, version: Version, feed_ver: int, settled: IsSettled) -> Iterator[Numbered]:
        """Operations with their numbers; those that are settled are not made.

        Args:
            version: what is fed.
            feed_ver: the order of operations that have none of their own.
            settled: which numbers to leave out.
        """

    def later(self, version: Version, feed_ver: int, settled: IsSettled) -> Iterator[Numbered]:
        """What came in while the operations were fed; asked when they are through, until there is nothing."""


@dataclass(slots=True)
class EmbeddingsSource:
    """An embeddings folder as puts, one an item, numbered by row; with what changed since, by a ledger.

    Vectors are read as fp16, normalised in float32 and then rounded to bfloat16: fp16 rounding leaves them
    up to 0.1% off unit length, and Vespa's closeness does not divide that out.
    """

    folder: EmbeddingsFolder
    #: Changes that the folder must not undo.
    ledger: Ledger = field(default_factory=Ledger)
    #: The number of a part of the folder, from 1, and of parts, for several feeders side by side.
    part: tuple[int, int] = (1, 1)
    #: Versions of the same package, whose changes since the folder was written are this one's too.
    siblings: Sequence[Sibling] = ()
    #: Items that only siblings have vectors of, put since; known when the operations are through.
    lacking: set[str] = field(default_factory=set, init=False)
    #: The number of the last change that the operations know of.
    _since: int = field(default=0, init=False, repr=False)

    @property
    def as_of(self) -> int:
        """When the folder was written, in microseconds since 1970: its version, unless somebody says more."""
        return (self.folder.path / META_NAME).stat().st_mtime_ns // 1000

    @property
    def fingerprint(self) -> str:
        """Bundle, shop, number of items, when the vectors were written, and which part."""
        meta = self.folder.meta
        written = (self.folder.path / VECTORS_NAME).stat().st_mtime_ns
        number, parts = self.part
        return f"{meta.bundle_version}:{meta.data}:{meta.rows}:{written}:{number}/{parts}"

    @property
    def rows(self) -> range:
        """The rows of this part."""
        (number, parts), rows = self.part, self.folder.meta.rows
        return range(rows * (number - 1) // parts, rows * number // parts)

    @property
    def total(self) -> int:
        """Items in all."""
        return len(self.rows)

    def operations(self, version: Version, feed_ver: int, settled: IsSettled) -> Iterator[Numbered]:
        """See `FeedSource.operations`.

        Raises:
            EmbeddingsError: the folder belongs to another version, or is damaged.
            FeedRefused: a newer folder was fed.
        """
        self._check_version(version)
        self._hear(version, feed_ver)
        self._since = self.ledger.begin(feed_ver, self.part)
        operations, start = Operations(version), self.rows.start
        for items in self._items(version):
            wanted = [item for item in items if not settled(item.row - start)]
            known = self.ledger.sequence
            changed = self.ledger.newer([item.item_id for item in wanted], feed_ver)
            for item in wanted:
                yield item.row - start, _put(operations, item, feed_ver, changed.get(item.item_id), known)

    def later(self, version: Version, feed_ver: int, settled: IsSettled) -> Iterator[Numbered]:
        """Items of the folder that changed since it was begun, as the changes leave them."""
        self._hear(version, feed_ver)
        upto, changed = self.ledger.since(self._since, feed_ver)
        if not changed:
            return
        operations, numbers = Operations(version), count(self.total)
        for items in self._items(version):
            wanted = [item for item in items if item.item_id in changed]
            states = self.ledger.newer([item.item_id for item in wanted], feed_ver)
            for item in wanted:
                number = next(number for number in numbers if not settled(number))
                yield number, _put(operations, item, feed_ver, states.get(item.item_id), upto)
        self._since = upto

    def _hear(self, version: Version, feed_ver: int) -> None:
        for sibling in self.siblings:
            self.lacking |= sibling.tell(version, self.ledger, feed_ver)

    def _items(self, version: Version) -> Iterator[list[_Item]]:
        """The items of this part, a batch at a time."""
        rows, vectors, first = self.rows, self.folder.vectors, 0
        texts: Iterator[Sequence[Mapping[str, str]]] = repeat([{}] * _BATCH)
        if version.texts is not None:
            texts = self.folder.texts(_BATCH)
        batches = self.folder.batches(["id", CATEGORY, *self.folder.attributes], _BATCH)
        for batch, said in zip(batches, texts, strict=False):
            ids = batch.pop("id")
            inside = range(max(first, rows.start) - first, min(first + len(ids), rows.stop) - first)
            pictures = self._pictures(first, len(ids))
            features = self._features(version, first, len(ids))
            yield [
                _Item(
                    first + place,
                    ids[place],
                    vectors[first + place],
                    {name: column[place] for name, column in batch.items()}
                    | {names.TEXTS: said[place]}
                    | pictures.get(place, {})
                    | features(place),
                )
                for place in inside
            ]
            first += len(ids)
            if first >= rows.stop:
                return

    def _pictures(self, first: int, count: int) -> dict[int, dict[str, AttributeValue]]:
        """The picture features of some rows, by place; those without a picture are left out."""
        if self.folder.pictures is None:
            return {}
        chunk = self.folder.checked_pictures(np.arange(first, first + count))
        has = np.flatnonzero(chunk.any(axis=1)).tolist()
        return {place: {names.PICTURE_FEATURE: chunk[place].tolist()} for place in has}

    def _features(
        self, version: Version, first: int, count: int
    ) -> Callable[[int], dict[str, AttributeValue]]:
        """What histories use of some rows, by place, where the version keeps it."""
        if version.features is None:
            return lambda place: {}
        chunk = self.folder.checked_features(np.arange(first, first + count))
        return lambda place: {names.ITEM_FEATURES: chunk[place]}

    def _check_version(self, version: Version) -> None:
        path, meta = self.folder.path, self.folder.meta
        if version.bundle_version != meta.bundle_version:
            reason = f"made by bundle {meta.bundle_version}, but fed to bundle {version.bundle_version}"
            raise EmbeddingsError(path, reason)
        if version.dimension != meta.dim:
            raise EmbeddingsError(path, f"vectors of width {meta.dim}, the schema has {version.dimension}")
        if version.texts is not None and self.folder.texts_file is None:
            raise EmbeddingsError(path, "has no texts, the schema has: run `mrse embed` again")
        if version.features is not None and version.features != (meta.experts, meta.expert_dim):
            shapes = f"features of shape {meta.experts, meta.expert_dim}, the schema has {version.features}"
            raise EmbeddingsError(path, shapes)
        if version.picture_dim and version.picture_dim != meta.picture_dim:
            widths = f"picture features of width {meta.picture_dim}, the schema has {version.picture_dim}"
            raise EmbeddingsError(path, widths)
        if missing := self.folder.attributes.items() - version.attributes.items():
            lacking = ", ".join(sorted(f"{name} ({kind})" for name, kind in missing))
            raise EmbeddingsError(path / "schema.json", f"the deployed schema lacks {lacking}")


@dataclass(frozen=True, slots=True)
class _Item:
    row: int
    item_id: str
    vector: F16
    attributes: Mapping[str, AttributeValue]


def _put(
    operations: Operations, item: _Item, feed_ver: int, changed: Merged | None, known: int
) -> Operation | Rejected:
    try:
        if changed is None:
            return operations.put(item.item_id, item.vector, item.attributes, feed_ver)
        return changed.operation(operations, item.item_id, (item.vector, item.attributes), known=known)
    except ValueError as error:
        return Rejected(str(item.item_id), str(error))
