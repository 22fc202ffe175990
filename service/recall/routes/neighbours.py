"""Nearest items of vectors that are searched by again and again, known until the index changes.

The neighbours of I2I's triggers depend on the trigger and the filters, not on the query or the user, and the
heads of common queries are the same few items. The nearest items of a query without a history are the same
for everybody. Such a search is done once; the answers stay the same.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np

from common.arrays import F32
from common.deadline import Deadline
from common.lru import Lru
from index.filters import Filter
from index.port import ItemIndex, Neighbours

#: What to know a vector by, how many neighbours, and the key of the filter. All of a bounded size.
_Key = tuple[Hashable, int, bytes | None]
#: What a list may hold in one place of the cache, in bytes; a longer one takes several places.
PLACE_BYTES = 16_384
#: Bytes that a text takes by itself, and for each character: of ASCII, and at most of others.
_ASCII, _OTHER = (49, 1), (76, 4)


class NeighbourCache:
    """Neighbour lists of one index, least recently used first out. For one event loop.

    Args:
        index: what is searched. One that cannot tell when it changes (`ItemIndex.revision`) is searched every
            time.
        entries: places for lists of up to `PLACE_BYTES`; 0 keeps none, and none is looked up.
        count: called with whether a list was known, for each that is looked up.
    """

    def __init__(self, index: ItemIndex, entries: int, count: Callable[[bool], None]) -> None:
        self._index = index
        self._entries = entries
        self._count = count
        self._revision: Hashable | None = None
        self._lists: Lru[_Key, Neighbours] = Lru(entries, cost=_places)

    async def search(
        self,
        names: Sequence[Hashable],
        vectors: Sequence[F32],
        k: int,
        filters: Filter | None,
        deadline: Deadline,
    ) -> list[Neighbours]:
        """The ``k`` nearest items of each vector ``[dim]``; raises as `ItemIndex.search` does.

        Args:
            names: what to know the vectors by: equal names mean equal vectors while the index stays the same.
            vectors: one for each name.
            k: neighbours of each.
            filters: what they must fulfil.
            deadline: of the search.
        """
        if not self._entries:
            return await self._index.search(np.stack(vectors), k, filters, deadline)
        revision = self._now()
        keys = _keys(names, k, filters)
        found = {key: near for key in keys if (near := self._lists.get(key)) is not None}
        missing = [place for place, key in enumerate(keys) if key not in found]
        for key in keys:
            self._count(key in found)
        if missing:
            wanted = np.stack([vectors[place] for place in missing])
            searched = await self._index.search(wanted, k, filters, deadline)
            fresh = {keys[place]: near for place, near in zip(missing, searched, strict=True)}
            # A change during the search may be in one list and not in another.
            if revision is not None and self._index.revision == revision == self._revision:
                for key, near in fresh.items():
                    if near.coverage == 1 and not near.degraded:
                        self._lists.put(key, near)
            found |= fresh
        return [found[key] for key in keys]

    def known(self, names: Sequence[Hashable], k: int, filters: Filter | None) -> list[Neighbours] | None:
        """What `search` would give where it need not search at all; None where it must."""
        if not self._entries:
            return None
        self._now()
        found: list[Neighbours] = []
        for key in _keys(names, k, filters):
            near = self._lists.get(key)
            if near is None:
                return None
            found.append(near)
        for _ in found:
            self._count(True)
        return found

    def _now(self) -> Hashable | None:
        """The index's revision; what is known of another one is forgotten."""
        revision = self._index.revision
        if revision != self._revision:
            self._lists.clear()
            self._revision = revision
        return revision


def _keys(names: Sequence[Hashable], k: int, filters: Filter | None) -> list[_Key]:
    accepted = None if filters is None else filters.key
    return [(name, k, accepted) for name in names]


def _places(key: _Key, near: Neighbours) -> int:
    """How many places of the cache a list takes; asks its ids together, in a tenth of the time."""
    joined = "".join(near.ids)
    own, width = _ASCII if joined.isascii() else _OTHER
    size = 256 + near.scores.nbytes + (8 + own) * len(near.ids) + width * len(joined)
    return -(-size // PLACE_BYTES)
