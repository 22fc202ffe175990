"""The ports by which an item index is asked, and the values that cross them.

Which of them an index stands behind beside `ItemIndex` is said by `index.engine.OpenedIndex`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from artifacts.attributes import AttributeKind
from common.arrays import F16, F32
from common.deadline import Deadline
from common.errors import NOT_IN_ORDER, MrseError
from index.filters import Filter


class IndexUnavailable(MrseError):  # noqa: N818 -- a state of the world, not a programming error
    """The index gave no answer: down, overloaded or past the deadline. ``reason`` is a short code."""

    exit_code = NOT_IN_ORDER

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class IndexFull(IndexUnavailable):
    """A change was refused because its disk is full, or would be; nothing of the call was done."""

    def __init__(self, detail: str) -> None:
        super().__init__("no-space", detail)


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
    """Embeddings of the ids that are in the index, in the order asked: float32 ``[len(ids), dim]``.

    ``coverage`` is the share of the index in which the ids that are not here were looked for, and 1 where all
    are here. Below 1 such an id may exist all the same; ``degraded`` says why, as in `Neighbours`.
    """

    ids: list[str]
    vectors: F32
    coverage: float = 1.0
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredValues:
    """Attributes of the ids that are in the index, in the order asked.

    ``values`` has a list for each name, with a value for each of ``ids``: strings and lists of strings as
    filters compare them (`filters.fold`), of ``category`` the whole path, numbers as float, bools; None where
    an item has none. ``coverage`` and ``degraded`` as in `StoredVectors`.
    """

    ids: list[str]
    values: Mapping[str, Sequence[Any]]
    coverage: float = 1.0
    degraded: tuple[str, ...] = ()


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
        """The stored embeddings; unknown ids are left out, and so are those that were not reached.

        Raises:
            IndexUnavailable: as `search`.
        """

    async def stats(self) -> IndexStats:
        """Counts, as of now."""

    async def close(self) -> None:
        """Release connections, threads and files."""


class LexicalIndex(Protocol):
    """Search by the words of the items' texts, in the same index: same filters, same live changes."""

    async def search_text(
        self, texts: Sequence[str], k: int, filters: Filter | None, deadline: Deadline
    ) -> list[Neighbours]:
        """The ``k`` best items for each text; ``scores`` are BM25, and items without a common word are none.

        Raises:
            IndexUnavailable: as `ItemIndex.search`.
        """


class PhotoIndex(Protocol):
    """Search by the picture features of the items, in the same index: same filters, same live changes."""

    @property
    def picture_dim(self) -> int:
        """Width of a picture feature."""

    async def search_pictures(
        self, vectors: F32, k: int, filters: Filter | None, deadline: Deadline
    ) -> list[Neighbours]:
        """The ``k`` nearest items of each row of ``vectors`` ``[B, picture_dim]`` (unit length).

        ``scores`` are cosines. Items without a picture are never found.

        Raises:
            IndexUnavailable: as `ItemIndex.search`.
        """


class RankedIndex(Protocol):
    """The items with the largest values of an attribute, in the same index: same filters, same changes."""

    async def top(self, attribute: str, k: int, filters: Filter | None, deadline: Deadline) -> Neighbours:
        """The ``k`` items that have the largest values of a number attribute; ``scores`` are the values.

        Items without a value are never among them.

        Raises:
            IndexUnavailable: as `ItemIndex.search`.
        """


@dataclass(frozen=True, slots=True)
class ExactAnswer:
    """The nearest items of a vector, none missed; ``accepted`` is the share of items that may be found."""

    near: Neighbours
    accepted: float


class ExactIndex(Protocol):
    """Searches without leaving anything out, to tell how much the usual search finds."""

    async def search_exact(
        self, vector: F32, k: int, filters: Filter | None, deadline: Deadline
    ) -> ExactAnswer:
        """The ``k`` nearest items of ``vector`` ``[dim]``, by a scan of all, beside the usual searches.

        Raises:
            IndexUnavailable: as `ItemIndex.search`; ``overloaded`` while another is under way.
        """


class ItemValues(Protocol):
    """Attributes of items, from the same index: what filters would see."""

    async def values(self, ids: Sequence[str], names: Sequence[str], deadline: Deadline) -> StoredValues:
        """The ids that are known, in the order asked, and some of their attributes (`ItemIndex.attributes`).

        Unknown ids are left out, and so are those that were not reached.

        Raises:
            IndexUnavailable: as `ItemIndex.search`.
        """


#: The text field that is an item's title; `ItemTitles` gives so many characters of it at most.
TITLE, TITLE_CHARACTERS = "title", 512


class ItemTitles(Protocol):
    """What items are called, as their shop wrote it, from the same index: same live changes."""

    async def titles(self, ids: Sequence[str], deadline: Deadline) -> Mapping[str, str]:
        """Titles by id, cut at `TITLE_CHARACTERS`; without ids that are unknown or have no title.

        Raises:
            IndexUnavailable: as `ItemIndex.search`.
        """


@dataclass(frozen=True, slots=True)
class FirstSearch:
    """The nearest items of a vector, and stored vectors that came with them.

    ``asked`` are those of the ids that were asked for, ``head`` those of items at the head of ``near``, where
    they came.
    """

    near: Neighbours
    asked: StoredVectors
    head: Mapping[str, F32]


@dataclass(frozen=True, slots=True)
class Related:
    """The nearest items of each of several vectors, and the cosine of each of them to a query."""

    near: list[Neighbours]
    cosines: Mapping[str, float]


class FarIndex(ItemIndex, Protocol):
    """An index that is far: what a request needs of it is asked together, and vectors stay where they are.

    An engine says so by `OpenedIndex.far`.
    """

    async def first_search(
        self,
        vector: F32,
        k: int,
        filters: Filter | None,
        deadline: Deadline,
        *,
        ids: Sequence[str],
        head: int,
    ) -> FirstSearch:
        """As `search` of one vector ``[dim]``, with the vectors of ``ids`` and of the ``head`` nearest items.

        Raises:
            IndexUnavailable: as `search`.
        """

    async def related(
        self, vectors: F32, query: F32, k: int, filters: Filter | None, deadline: Deadline
    ) -> Related:
        """As `search` of the rows of ``vectors`` ``[n, dim]``, with cosines to ``query`` ``[dim]``.

        Raises:
            IndexUnavailable: as `search`.
        """


class ItemFeatures(Protocol):
    """Item features ``[E, d]`` of the items in a user's history."""

    async def features(self, ids: Sequence[str], deadline: Deadline) -> tuple[list[str], F16]:
        """The ids that are known, in the order asked, and their features ``[n, E, d]``."""
