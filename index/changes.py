"""Changes of the items of an index, and the port of indexes that take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from common.arrays import F16, F32
from common.deadline import Deadline
from common.errors import MrseError
from index.port import ItemIndex


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
