"""Neighbours that were found once and are known until the index changes.

Those of I2I's triggers depend on the trigger and the filters, not on the query or the user, and the heads of
common queries are the same few items; those of a query that comes without a history are everybody's. So a
search that would be done again and again is done once; the answers stay the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

import numpy as np

from common.deadline import Deadline
from index.filters import Filter
from index.port import F32, ItemIndex, Neighbours

_Key = tuple[Hashable, int, Filter | None]


class KnownNeighbours:
    """The neighbour lists of one index, least recently used first out. For one event loop.

    Args:
        entries: lists kept at most; 0 keeps none, and none is looked up.
        count: called with whether a list was known, for each that is looked up.
    """

    def __init__(self, entries: int, count: Callable[[bool], None]) -> None:
        self._entries = entries
        self._count = count
        self._revision: Hashable | None = None
        self._lists: OrderedDict[_Key, Neighbours] = OrderedDict()

    def __len__(self) -> int:
        return len(self._lists)

    async def search(
        self,
        index: ItemIndex,
        names: Sequence[Hashable],
        vectors: Sequence[F32],
        k: int,
        filters: Filter | None,
        deadline: Deadline,
    ) -> list[Neighbours]:
        """The ``k`` nearest items of each vector ``[dim]``; raises as `ItemIndex.search` does.

        An index that cannot tell when it changes (`ItemIndex.revision`) is searched every time.

        Args:
            index: always the same one.
            names: what to know the vectors by: a name is of one vector, as long as the index does not change.
            vectors: one for each name.
            k: neighbours of each.
            filters: what they must fulfil.
            deadline: of the search.
        """
        if not self._entries:
            return await index.search(np.stack(vectors), k, filters, deadline)
        revision = index.revision
        if revision != self._revision:
            self._lists.clear()
            self._revision = revision
        keys: list[_Key] = [(name, k, filters) for name in names]
        found = {key: self._lists[key] for key in keys if key in self._lists}
        for key in found:
            self._lists.move_to_end(key)
        missing = [place for place, key in enumerate(keys) if key not in found]
        for key in keys:
            self._count(key in found)
        if missing:
            asked = np.stack([vectors[place] for place in missing])
            searched = await index.search(asked, k, filters, deadline)
            fresh = {keys[place]: near for place, near in zip(missing, searched, strict=True)}
            # A change during the search may be in one list and not in another.
            if revision is not None and index.revision == revision == self._revision:
                self._keep(fresh)
            found |= fresh
        return [found[key] for key in keys]

    def _keep(self, fresh: dict[_Key, Neighbours]) -> None:
        self._lists |= {key: near for key, near in fresh.items() if near.coverage == 1 and not near.degraded}
        while len(self._lists) > self._entries:
            self._lists.popitem(last=False)
