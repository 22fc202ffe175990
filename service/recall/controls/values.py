"""Attributes of items, each read once a request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

from common.deadline import Deadline
from index.port import ItemValues


class Values:
    """What was read so far.

    Args:
        source: the index.
        names: attributes that are read.
        deadline: of the request.
    """

    def __init__(self, source: ItemValues, names: Sequence[str], deadline: Deadline) -> None:
        self._source = source
        self._deadline = deadline
        self.names = tuple(names)
        self._place = {name: place for place, name in enumerate(self.names)}
        self._known: dict[str, tuple[Any, ...]] = {}
        self._asked: set[str] = set()
        self._none = (None,) * len(self.names)
        #: Share of the index that was reached, the least of all reads.
        self.coverage = 1.0

    async def read(self, item_ids: Iterable[str], *, existence: bool = False) -> None:
        """Read what is not known yet.

        Args:
            item_ids: of which items.
            existence: whether to ask for items of which nothing is to be read: whether they are there.

        Raises:
            IndexUnavailable: the index gave no answer.
        """
        missing = [item_id for item_id in dict.fromkeys(item_ids) if item_id not in self._asked]
        if not missing or not (self.names or existence):
            return
        found = await self._source.values(missing, self.names, self._deadline)
        self._asked.update(missing)
        self.coverage = min(self.coverage, found.coverage)
        columns = [found.values[name] for name in self.names]
        rows = zip(*columns, strict=True) if columns else repeat((), len(found.ids))
        self._known |= dict(zip(found.ids, rows, strict=True))

    def has(self, item_id: str) -> bool:
        """Whether the item was found in the index."""
        return item_id in self._known

    def of(self, item_id: str) -> tuple[Any, ...]:
        """Its values in the order of the names; None for what it does not have."""
        return self._known.get(item_id, self._none)

    def one(self, item_id: str, name: str) -> Any:
        """One of its values."""
        return self.of(item_id)[self._place[name]]
