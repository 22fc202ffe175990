"""What an index is asked, in time: short answers on the event loop, others on bounded threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from math import isfinite

import numpy as np

from artifacts.attributes import AttributeKind
from common.arrays import F16, F32
from common.deadline import Deadline
from common.turns import Turns
from index.embedded import nearest, stored
from index.embedded.lexical import EmbeddedLexical
from index.embedded.live import LiveIndex
from index.embedded.manifest import IndexManifest
from index.embedded.state import State
from index.embedded.vectors import in_background, limit_threads
from index.embedded.workers import Overruns, Step, TooMuch, Workers, limited
from index.filters import Filter
from index.port import (
    TITLE,
    TITLE_CHARACTERS,
    ExactAnswer,
    IndexStats,
    IndexUnavailable,
    Neighbours,
    StoredValues,
    StoredVectors,
)

#: Rows that a search may score on the event loop, which takes a millisecond. A hop to a thread costs a tenth
#: of that on an idle machine, and more than all of it when threads compete for the interpreter. *Inferred*,
#: measured.
AT_ONCE = 100_000


class ReadableIndex:
    """An `ItemIndex` and `ItemFeatures` over one index folder, and what else an index may be asked."""

    def __init__(self, live: LiveIndex, workers: Workers) -> None:
        self._turns = Turns()
        self._overruns = Overruns()
        self._picture_overruns = Overruns()
        self._live = live
        self._closed = False
        self._workers = workers
        self._background: Workers | None = None
        self._lexical = EmbeddedLexical(live, workers)
        self._began_with_texts = self.manifest.texts is not None
        #: The turn of the loop in which nothing was found to be new.
        self._looked_in: int | None = None

    @property
    def manifest(self) -> IndexManifest:
        """Of the base that is searched."""
        return self._live.state.manifest

    @property
    def version(self) -> str:
        """Version of the base, and how many changes were made since."""
        changes = self._live.state.changes
        return self.manifest.index_version + (f"+{changes}" if changes else "")

    @property
    def bundle_version(self) -> str:
        """Version of the bundle whose item tower made the vectors."""
        return self.manifest.bundle_version

    @property
    def revision(self) -> tuple[str, bytes, int] | None:
        """Base, log and last change; None while there are changes to read from the log."""
        if self._behind():
            return None
        state = self._live.state
        return state.manifest.index_version, state.log.identity, state.sequence

    @property
    def attributes(self) -> Mapping[str, AttributeKind]:
        """What can be filtered by."""
        return self.manifest.attributes

    @property
    def text_fields(self) -> tuple[str, ...]:
        """The texts that items are found by, word for word; empty where there are none."""
        spec = self.manifest.texts
        return () if spec is None else spec.fields

    @property
    def lexical(self) -> EmbeddedLexical | None:
        """Searches by words; None where the index held no texts when it was opened and holds none now."""
        return self._lexical if self._began_with_texts or self.manifest.texts is not None else None

    async def search(
        self, vectors: F32, k: int, filters: Filter | None, deadline: Deadline
    ) -> list[Neighbours]:
        """The ``k`` nearest items of each row of ``vectors`` ``[B, dim]``.

        Exact in a flat index and with filters that accept few items; equal scores are then in a fixed order.
        Else it has the recall that the index was calibrated to. Short searches run on the event loop,
        others on a thread.

        Raises:
            IndexUnavailable: ``timeout``, ``overloaded`` or ``closed``.
            ValueError: ``k`` below 1, vectors of another width or not finite.
        """
        overruns, dim = self._overruns, self.manifest.dim
        return await self._search(nearest.search, overruns, dim, vectors, k, filters, deadline)

    @property
    def picture_dim(self) -> int:
        """Width of a picture feature; 0 where the index holds none."""
        return self.manifest.picture_dim

    async def search_pictures(
        self, vectors: F32, k: int, filters: Filter | None, deadline: Deadline
    ) -> list[Neighbours]:
        """The ``k`` items whose pictures are nearest to each row of ``vectors`` ``[B, picture_dim]``.

        As `search` otherwise; an index without picture features finds nothing.
        """
        overruns, dim = self._picture_overruns, self.picture_dim
        if not dim:
            return [Neighbours([], np.empty(0, dtype=np.float32)) for _ in vectors]
        return await self._search(nearest.search_pictures, overruns, dim, vectors, k, filters, deadline)

    async def top(self, attribute: str, k: int, filters: Filter | None, deadline: Deadline) -> Neighbours:
        """The ``k`` items with the largest values of a number attribute; see `RankedIndex`.

        Raises:
            IndexUnavailable: ``timeout``, ``overloaded`` or ``closed``.
            ValueError: ``k`` below 1, or no such attribute.
        """
        if k < 1 or self.attributes.get(attribute) != "number":
            raise ValueError(f"k is {k}, {attribute!r} is {self.attributes.get(attribute)}")
        self._check_open()
        live = self._live
        live.check_files()
        await self._turns.take()
        if not self._behind():
            try:
                return nearest.top(live, live.state, attribute, k, filters, limited(AT_ONCE, deadline))
            except TooMuch:
                pass  # such as the first, which sorts all rows
        return await self._workers.run(
            lambda step: nearest.top(live, live.current(), attribute, k, filters, step), deadline
        )

    async def search_exact(
        self, vector: F32, k: int, filters: Filter | None, deadline: Deadline
    ) -> ExactAnswer:
        """The ``k`` nearest items of ``vector`` ``[dim]``, by a scan of all rows; see `ExactIndex`.

        It has a thread of its own of the least priority, and one is under way at a time.

        Raises:
            IndexUnavailable: ``timeout``, ``overloaded`` or ``closed``.
        """
        self._check_open()
        live = self._live
        live.check_files()
        if self._background is None:
            self._background = Workers(1, 0, in_background)
        query = np.ascontiguousarray(vector, dtype=np.float32)
        return await self._background.run(
            lambda step: nearest.search_exact(live, live.current(), query, k, filters, step), deadline
        )

    async def _search(
        self,
        search: Callable[[LiveIndex, State, F32, int, Filter | None, Step], list[Neighbours]],
        overruns: Overruns,
        dim: int,
        vectors: F32,
        k: int,
        filters: Filter | None,
        deadline: Deadline,
    ) -> list[Neighbours]:
        """Run a search of `nearest`, on the event loop where it is short."""
        self._check_open()
        live = self._live
        live.check_files()
        if k < 1:
            raise ValueError(f"k is {k}; expected at least 1")
        queries = np.ascontiguousarray(vectors, dtype=np.float32)
        if queries.ndim != 2 or queries.shape[1] != dim or not isfinite(queries.sum()):
            raise ValueError(f"expected finite vectors [B, {dim}]; got shape {queries.shape}")
        if at_once := filters not in overruns:
            await self._turns.take()
        if at_once and not self._behind():
            limit_threads()  # of this thread, which may be any
            try:
                found = search(live, live.state, queries, k, filters, limited(AT_ONCE, deadline))
            except TooMuch:
                pass  # what is done twice is a small part of the whole
            else:
                overruns.note(filters, False)
                return found
        scored = 0

        def counted(step: Step) -> list[Neighbours]:
            def counting(rows: int) -> None:
                nonlocal scored
                step(rows)
                scored += rows

            return search(live, live.current(), queries, k, filters, counting)

        found = await self._workers.run(counted, deadline)
        overruns.note(filters, scored > AT_ONCE)
        return found

    async def vectors(self, ids: Sequence[str], deadline: Deadline) -> StoredVectors:
        """The stored embeddings; unknown ids are left out.

        Raises:
            IndexUnavailable: ``timeout`` or ``closed``.
        """
        return StoredVectors(*stored.vectors(self._live, await self._looked_up(deadline), ids))

    async def features(self, ids: Sequence[str], deadline: Deadline) -> tuple[list[str], F16]:
        """The ids that are known, in the order asked, and their features ``[n, E, d]``.

        Raises:
            IndexUnavailable: ``timeout`` or ``closed``.
        """
        return stored.features(self._live, await self._looked_up(deadline), ids)

    async def values(self, ids: Sequence[str], names: Sequence[str], deadline: Deadline) -> StoredValues:
        """Known ids in the order asked, and some of their attributes; see `ItemValues`.

        Raises:
            IndexUnavailable: ``timeout``, ``overloaded`` or ``closed``.
        """
        state, live = await self._looked_up(deadline), self._live
        if state.base.forward.ready(names):
            return StoredValues(*stored.values(live, state, ids, names))
        return StoredValues(
            *await self._workers.run(lambda step: stored.values(live, state, ids, names), deadline)
        )

    async def titles(self, ids: Sequence[str], deadline: Deadline) -> Mapping[str, str]:
        """Titles of the ids that are known and have one, read on a thread; see `ItemTitles`.

        Raises:
            IndexUnavailable: ``timeout``, ``overloaded`` or ``closed``.
        """
        state, live = await self._looked_up(deadline), self._live
        found = await self._workers.run(lambda step: stored.texts(live, state, ids, TITLE), deadline)
        return {item_id: title[:TITLE_CHARACTERS] for item_id, title in found.items()}

    async def stats(self) -> IndexStats:
        """Counts, as of now."""
        self._check_open()
        live = self._live
        state = await asyncio.to_thread(live.current) if live.behind else live.state
        return IndexStats(engine=state.manifest.engine, items=state.items, kind=state.manifest.kind)

    async def close(self) -> None:
        """Stop the threads; the files are closed with the last reference to the index."""
        self._closed = True
        await self._workers.close()
        if self._background is not None:
            await self._background.close()

    async def _looked_up(self, deadline: Deadline) -> State:
        """The state for a lookup, which runs on the event loop: it takes less than a hop to a thread.

        Changes in the log that it does not know yet are read on a thread first, as they may be many.
        """
        self._check_open()
        if deadline.passed:
            raise IndexUnavailable("timeout")
        live = self._live
        behind = self._behind()
        state = await self._workers.run(lambda step: live.current(), deadline) if behind else live.state
        live.check_files()
        return state

    def _behind(self) -> bool:
        """`LiveIndex.behind`, which is two system calls, once in a turn of the loop.

        A request that was received since is begun in a later turn, so nobody who was told of a change since
        gets an answer without it.
        """
        live, turn = self._live, self._turns.turn
        if turn is not None and turn == self._looked_in and not live.reading:
            return False
        behind = live.behind
        if not behind:
            self._looked_in = turn
        return behind

    def _check_open(self) -> None:
        if self._closed:
            raise IndexUnavailable("closed")
