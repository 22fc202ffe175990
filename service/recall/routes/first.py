"""The first search of a request to an index that is far: what all routes need of it, asked together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from common.arrays import F32
from common.deadline import Deadline
from index.filters import Filter
from index.port import FarIndex, FirstSearch, StoredVectors


class First:
    """Sent when the first route asks for it; all get the same answer, or the same error. For one request.

    Args:
        index: what is searched.
        embedding: the query's ``[dim]``.
        k: items wanted.
        filters: what they must fulfil.
        deadline: of the search.
        ids: items whose vectors are wanted beside.
        head: how many of the nearest items' vectors are wanted.
    """

    def __init__(
        self,
        index: FarIndex,
        embedding: F32,
        k: int,
        filters: Filter | None,
        deadline: Deadline,
        *,
        ids: Sequence[str],
        head: int,
    ) -> None:
        self.index = index
        self._wanted = (embedding, k, filters, deadline)
        self._ids = ids
        self._head = head
        self._task: asyncio.Task[FirstSearch] | None = None

    async def get(self) -> FirstSearch:
        """The answer.

        Raises:
            IndexUnavailable: as `ItemIndex.search`.
        """
        if self._task is None:
            work = self.index.first_search(*self._wanted, ids=self._ids, head=self._head)
            self._task = asyncio.get_running_loop().create_task(work)
        # One route that is given up does not take the search from the others.
        return await asyncio.shield(self._task)

    async def vectors(self, ids: Sequence[str]) -> StoredVectors:
        """Those of a route's own ids, as `ItemIndex.vectors`: other routes have asked for others.

        Raises:
            IndexUnavailable: as `ItemIndex.search`.
        """
        asked = (await self.get()).asked
        row_of = {item_id: row for row, item_id in enumerate(asked.ids)}
        known = [item_id for item_id in ids if item_id in row_of]
        return replace(asked, ids=known, vectors=asked.vectors[[row_of[item_id] for item_id in known]])

    async def end(self) -> None:
        """Give the search up where it is still under way; called when all routes have ended."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
