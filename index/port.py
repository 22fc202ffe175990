"""The port that every item index stands behind, and the values that cross it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from artifacts.attributes import AttributeKind as AttributeKind
from common.deadline import Deadline
from index.filters import Filter

F32 = npt.NDArray[np.float32]
F16 = npt.NDArray[np.float16]


class IndexUnavailable(Exception):  # noqa: N818 -- a state of the world, not a programming error
    """The index gave no answer: down, overloaded or past the deadline. ``reason`` is a short code."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Nearest items of one vector, best first.

    ``scores`` float32 ``[len(ids)]`` are cosines. ``coverage`` is the share of the index that was
    looked at; below 1, ``degraded`` says why (``timeout``, ``anntimeout``, ``non-ideal-state`` …).
    """

    ids: list[str]
    scores: F32
    coverage: float = 1.0
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredVectors:
    """Embeddings of the ids that are in the index, in the order asked: float32 ``[len(ids), dim]``."""

    ids: list[str]
    vectors: F32


@dataclass(frozen=True, slots=True)
class IndexStats:
    """Facts for ``/version`` and metrics."""

    engine: str
    items: int
    kind: str


class ItemIndex(Protocol):
    """Nearest-neighbour search over the item embeddings of one bundle version."""

    @property
    def version(self) -> str:
        """Version of the index's content."""

    @property
    def bundle_version(self) -> str:
        """Version of the bundle whose item tower made the vectors."""

    @property
    def revision(self) -> Hashable | None:
        """Equal as long as no answer can have changed; None where that cannot be told."""

    @property
    def attributes(self) -> Mapping[str, AttributeKind]:
        """What can be filtered by."""

    async def search(
        self, vectors: F32, k: int, filters: Filter | None, deadline: Deadline
    ) -> list[Neighbours]:
        """The ``k`` nearest items of each row of ``vectors`` ``[B, dim]`` (unit length).

        Raises:
            IndexUnavailable: there is no answer, within the deadline or at all.
        """

    async def vectors(self, ids: Sequence[str], deadline: Deadline) -> StoredVectors:
        """The stored embeddings; unknown ids are left out.

        Raises:
            IndexUnavailable: as `search`.
        """

    async def stats(self) -> IndexStats:
        """Counts, as of now."""

    async def close(self) -> None:
        """Release connections, threads and files."""


class ItemFeatures(Protocol):
    """Item features ``[3, d]`` of the items in a user's history."""

    async def features(self, ids: Sequence[str], deadline: Deadline) -> tuple[list[str], F16]:
        """The ids that are known, in the order asked, and their features ``[n, 3, d]``."""


class ChangeRefused(ValueError):  # noqa: N818 -- a verdict on what was asked for
    """A change that the index cannot take; nothing of the call was done. The message names the item."""

    def __init__(self, item_id: str, reason: str) -> None:
        super().__init__(f"item {item_id!r}: {reason}")
        self.item_id = item_id


@dataclass(frozen=True, slots=True)
class ItemPut:
    """An item as it shall be. ``vector`` float32 ``[dim]`` of unit length, made by the index's bundle.

    ``features`` float16 ``[3, d]`` are what a user's history uses of it; zeros where there are none.
    Attributes that are absent or None are missing.
    """

    id: str
    vector: F32
    features: F16 | None = None
    category: str = ""
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ItemUpdate:
    """Attributes of an item that shall change, None to make one missing; the others stay."""

    id: str
    attributes: Mapping[str, object] = field(default_factory=dict)
    category: str | None = None


@dataclass(frozen=True, slots=True)
class WriteResult:
    """How many items were written, and the ids that there was nothing to do for."""

    written: int
    unknown: tuple[str, ...] = ()


class WritableIndex(ItemIndex, Protocol):
    """An index that changes while it is searched.

    When a call returns its changes are durable, and every search that begins later sees them. One that
    fails with ``timeout`` may have been done or not; all changes may be repeated without harm.
    """

    async def upsert(self, items: Sequence[ItemPut], deadline: Deadline) -> WriteResult:
        """Add items, or replace those that have the same ids.

        Raises:
            ChangeRefused: an item does not fit the index.
            IndexUnavailable: as `search`.
        """

    async def update(self, updates: Sequence[ItemUpdate], deadline: Deadline) -> WriteResult:
        """Change attributes of items; ids that are not in the index are left out and told.

        Raises:
            ChangeRefused: an attribute does not exist or has another type.
            IndexUnavailable: as `search`.
        """

    async def remove(self, ids: Sequence[str], deadline: Deadline) -> WriteResult:
        """Delete items; ids that are not in the index are told.

        Raises:
            IndexUnavailable: as `search`.
        """
