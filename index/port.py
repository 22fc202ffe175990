"""The port that every item index stands behind, the values that cross it, and what an engine is.

A new engine is a package with an `Engine` in it, and a line in `index.engines.ENGINES`. What an index can do
beyond a search is said by `OpenedIndex`: whether it holds item features, takes changes, has a server to ask.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar, cast, get_args

from pydantic import BaseModel, ConfigDict

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

    An engine whose index has these two methods has them called; `far` tells.
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


def far(index: ItemIndex) -> FarIndex | None:
    """The index, where it can be asked for several things together."""
    return cast("FarIndex", index) if hasattr(index, "first_search") else None


class ItemFeatures(Protocol):
    """Item features ``[E, d]`` of the items in a user's history."""

    async def features(self, ids: Sequence[str], deadline: Deadline) -> tuple[list[str], F16]:
        """The ids that are known, in the order asked, and their features ``[n, E, d]``."""


class ChangeRefused(MrseError, ValueError):  # noqa: N818 -- a verdict on what was asked for
    """A change that the index cannot take; nothing of the call was done. The message names the item."""

    def __init__(self, item_id: str, reason: str) -> None:
        super().__init__(f"item {item_id!r}: {reason}")
        self.item_id = item_id
        self.reason = reason


class Keep(NamedTuple):
    """What of an item stays as the index has it when the item is put; nothing where it has no such item.

    ``attributes`` are names: what the put says of them counts where the index has no such item, or cannot
    tell. ``texts`` are those that stand for neither category nor attributes. An index that keeps no texts or
    picture features to put again, as Vespa, keeps what came through it since its last folder.
    """

    attributes: frozenset[str] = frozenset()
    texts: bool = False
    picture: bool = False


#: Nothing: the item is put whole.
KEEP_NOTHING = Keep()


@dataclass(frozen=True, slots=True)
class ItemPut:
    """An item as it shall be. ``vector`` float32 ``[dim]`` of unit length, made by the index's bundle.

    ``features`` float16 ``[E, d]`` are what a user's history uses of it; zeros where there are none.
    Attributes that are absent or None are missing. ``texts`` by field (``title``, ``category``, declared
    text columns) are what the lexical search reads; empty means none. ``picture`` float32 ``[picture_dim]``
    of unit length is what the search by pictures reads; None means that the item has no picture. An index
    without such a search leaves them out.
    """

    id: str
    vector: F32
    features: F16 | None = None
    category: str = ""
    attributes: Mapping[str, object] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    picture: F32 | None = None
    keep: Keep = KEEP_NOTHING


@dataclass(frozen=True, slots=True)
class ItemUpdate:
    """Attributes of an item that shall change, None to make one missing; the others stay.

    So do ``texts`` by field, of which an empty one is taken away. The vectors stay: they are made of the
    whole item, so another title or picture needs an `ItemPut`.
    """

    id: str
    attributes: Mapping[str, object] = field(default_factory=dict)
    category: str | None = None
    texts: Mapping[str, str] = field(default_factory=dict)


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

    def refusal(self, item_id: str, category: str, attributes: Mapping[str, object]) -> str | None:
        """Why no item of these can be put, whatever its vectors; None where one can. Takes microseconds."""

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


class IndexOpenError(MrseError):
    """An index cannot be opened with these settings; the message names the file or the setting."""


class EngineSettings(BaseModel):
    """The table of an engine in the configuration file; a subclass adds the keys and their defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")


S = TypeVar("S", bound=EngineSettings)


#: What happens to an index beside searches: the label of a metric.
IndexEvent = Literal[
    "rebuilt", "rebuild_failed", "verified", "damaged", "mended", "write_failed", "no_space", "unfinished"
]
INDEX_EVENTS: tuple[IndexEvent, ...] = get_args(IndexEvent)


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """How much an index holds, and since when.

    Attributes:
        items: how many can be found.
        pending: changes since the base was written, which a rebuild will take into it.
        built_at: when the base was written here, in seconds since 1970.
    """

    items: int
    pending: int
    built_at: float


class IndexUpkeep(Protocol):
    """How the files of an index fare. For any thread."""

    @property
    def facts(self) -> IndexFacts:
        """As of the last search or change; takes microseconds."""

    @property
    def problems(self) -> Sequence[str]:
        """A sentence for each damage that is known."""

    @property
    def verified_at(self) -> float:
        """When every byte was last read and found right, in seconds since 1970."""

    def listen(self, told: Callable[[IndexEvent], None]) -> None:
        """Say who is told of events, from any thread."""


#: What became of a call to a server behind an index: the label of a metric. ``refused`` is our own mistake.
CallOutcome = Literal[
    "ok",
    "timeout",
    "no_connection",
    "dns",
    "tls",
    "connect",
    "connection",
    "auth",
    "overloaded",
    "backend",
    "errors",
    "bad_answer",
    "no_coverage",
    "refused",
    "cancelled",
    "other",
]
CALL_OUTCOMES: tuple[CallOutcome, ...] = get_args(CallOutcome)


class CallWatch(Protocol):
    """Who is told of the calls to the servers behind an index, in the event loop.

    ``server`` is one of `IndexCalls.servers`.
    """

    def ended(self, server: str, outcome: CallOutcome) -> None:
        """A call ended."""

    def retried(self, server: str) -> None:
        """A call that ended at another server, or at this one, was made again here."""

    def waited(self, seconds: float) -> None:
        """A call waited for one of our own connections."""

    def circuit(self, server: str, is_open: bool) -> None:
        """A server is left alone for a while, or asked again."""

    def shadowed(self, recall: float | None) -> None:
        """A live search was asked again exactly: the recall at its k; None where that has no whole answer."""


class IndexCalls(Protocol):
    """The servers behind an index."""

    @property
    def servers(self) -> Sequence[str]:
        """Host and port of each, as the configuration names them."""

    def listen(self, watch: CallWatch) -> None:
        """Say who is told of calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedIndex:
    """An index, and what can be done with it beside searching; None where the engine does not offer it."""

    index: ItemIndex
    #: Where the item features of a history come from.
    features: ItemFeatures | None = None
    #: Takes changes while it is searched.
    writable: WritableIndex | None = None
    #: Where it takes none, though it might: what to set.
    unwritable: str | None = None
    #: Searches by words; None where the index holds no texts.
    lexical: LexicalIndex | None = None
    #: Searches by pictures; None where the index holds no picture features.
    photos: PhotoIndex | None = None
    #: Gives the attributes of items.
    values: ItemValues | None = None
    #: Lists items by a number attribute.
    ranked: RankedIndex | None = None
    #: Searches exactly, to tell how much the usual search finds.
    exact: ExactIndex | None = None
    #: Asks the server behind the index, in the event loop, whether it is there and holds this bundle's items.
    #: Raises `IndexUnavailable` while it is not there, and ValueError when its content is another bundle's.
    check: Callable[[], Awaitable[None]] | None = None
    #: What is known of its files.
    upkeep: IndexUpkeep | None = None
    #: The servers behind it.
    calls: IndexCalls | None = None


class Engine(ABC, Generic[S]):
    """Opens indexes of one kind. Its module must load fast: the engine's libraries are imported in `open`."""

    #: Value of ``index.engine``, and the engine's table in the configuration file: lower case, no underscore.
    name: ClassVar[str]
    #: The keys of that table.
    settings: type[S]
    #: Modules that a server imports before it forks its workers, so that they share their memory.
    preload: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def open(self, path: Path, settings: S, *, queue: int) -> OpenedIndex:
        """Open an index; may block, and is called before the event loop needs it.

        Args:
            path: ``index.path`` of the configuration, or the index of an experiment's arm.
            settings: the engine's own table.
            queue: searches that may wait; beyond, a search may fail with ``overloaded``.

        Raises:
            IndexOpenError: there is no index, it is damaged, or the settings do not go together.
        """
