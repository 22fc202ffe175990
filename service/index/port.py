"""The port that every item index stands behind, and the values that cross it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from service.deadline import Deadline
from service.index.filters import Filter

F32 = npt.NDArray[np.float32]
F16 = npt.NDArray[np.float16]
#: Types of a filterable attribute; ``category`` is always one, a list of the path's prefixes.
AttributeKind = Literal["string", "number", "bool", "list"]


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
