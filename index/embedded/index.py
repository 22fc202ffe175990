"""An index as it serves: `readable`, and changed, rebuilt and looked after meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.deadline import Deadline
from common.turns import Turns
from index.changes import ChangeRefused, ItemPut, ItemUpdate, WriteResult
from index.embedded.changes import Lookup, Plan, Planned
from index.embedded.checks import Checker
from index.embedded.live import LiveIndex
from index.embedded.manifest import IndexManifest
from index.embedded.readable import ReadableIndex
from index.embedded.rebuild import run_rebuild
from index.embedded.rebuilder import Rebuilder
from index.embedded.searched import AS_CALIBRATED, Planning
from index.embedded.store import RESERVE
from index.embedded.upkeep import Upkeep
from index.embedded.vectors import limit_threads
from index.embedded.workers import Workers
from index.embedded.writer import Writer
from index.port import IndexUnavailable
from index.watching import IndexEvent

log = logging.getLogger("mrse.index")

#: Searches that may wait for a thread; beyond, a search fails at once with ``overloaded``. *Inferred*:
#: at 9 ms for an exact search of 1M rows, those behind in a longer queue would miss any sensible deadline.
QUEUE = 64
#: Bytes of changes that start a rebuild. *Inferred*: 20,000 changes of a usual shop take 50 MB, the largest
#: that are taken 2 GB, in memory as on the disk.
REBUILD_AFTER_BYTES = 128 * 1024 * 1024


class EmbeddedIndex(ReadableIndex):
    """A `ReadableIndex` that is a `WritableIndex` too."""

    def __init__(
        self,
        live: LiveIndex,
        workers: Workers,
        rebuild_after: int | None = None,
        rebuild_after_bytes: int = REBUILD_AFTER_BYTES,
        reserve: int = RESERVE,
    ) -> None:
        super().__init__(live, workers)
        self._reserve = reserve
        self._rebuilder = Rebuilder(rebuild_after, rebuild_after_bytes)
        self._upkeep: Upkeep | None = None
        self._refusing = False
        self._writer = Writer(live)
        self._checks = Checker(self.manifest)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        threads: int = 1,
        verify: bool = True,
        queue: int = QUEUE,
        planning: Planning = AS_CALIBRATED,
        rebuild_after: int | None = None,
        rebuild_after_bytes: int = REBUILD_AFTER_BYTES,
        reserve: int = RESERVE,
    ) -> EmbeddedIndex:
        """Map an index folder.

        Args:
            path: a folder that `build_index` wrote.
            threads: searches that run at once.
            verify: compare checksums, which reads every file once; without it sizes alone.
            queue: searches that may wait for a thread.
            planning: when searches are exact.
            rebuild_after: so many changes to the base start a `rebuild` in the background, for a search
                scores every changed item; None leaves rebuilding to others.
            rebuild_after_bytes: so do so many bytes of changes: opening reads them all, and the last one of
                each item is held in memory.
            reserve: bytes that stay free on the disk; changes and rebuilds are refused before.

        Raises:
            IndexDamaged: a file is missing or not the one that was built.
        """
        live = LiveIndex(path, verify=verify, planning=planning, reserve=reserve)
        return cls(live, Workers(threads, queue, limit_threads), rebuild_after, rebuild_after_bytes, reserve)

    def look_after(self, every_s: float) -> Upkeep:
        """Clean up behind dead processes, and verify the files every so many seconds until it is closed."""
        live = self._live

        def counts() -> tuple[int, int]:
            return live.state.items, live.state.changes

        self._upkeep = Upkeep(live.root, lambda: live.damage, every_s, counts, lambda: live.unopened)
        live.told = self._upkeep.tell
        return self._upkeep

    @property
    def _checker(self) -> Checker:
        """Checks changes against the base that is searched: one that comes may read other texts."""
        if not self._checks.fits(manifest := self.manifest):
            self._checks = Checker(manifest)
        return self._checks

    def refusal(self, item_id: str, category: str, attributes: Mapping[str, object]) -> str | None:
        """Why no item of these can be put; see `WritableIndex`."""
        try:
            self._checker.described(item_id, category, attributes)
        except ChangeRefused as error:
            return error.reason
        return None

    async def upsert(self, items: Sequence[ItemPut], deadline: Deadline) -> WriteResult:
        """Add items, or replace those with the same ids; see `WritableIndex`."""
        turns, puts, checker = Turns(), [], await self._checker_now(deadline)
        for item in items:
            await turns.take()
            puts.append(checker.put(item))
        keeps = [item.keep for item in items]

        def plan(lookup: Lookup) -> Planned:
            if checker.fits(lookup.manifest):
                return lookup.put(puts, keeps)
            now = Checker(lookup.manifest)  # another base has come since
            return lookup.put([now.put(item) for item in items], keeps)

        return await self._write(plan, deadline)

    async def update(self, updates: Sequence[ItemUpdate], deadline: Deadline) -> WriteResult:
        """Change some attributes of items; see `WritableIndex`."""
        turns, checked, checker = Turns(), [], await self._checker_now(deadline)
        for each in updates:
            await turns.take()
            checked.append(checker.update(each))

        def plan(lookup: Lookup) -> Planned:
            if checker.fits(lookup.manifest):
                return lookup.updated(checked)
            now = Checker(lookup.manifest)  # another base has come since
            return lookup.updated([now.update(each) for each in updates])

        return await self._write(plan, deadline)

    async def remove(self, ids: Sequence[str], deadline: Deadline) -> WriteResult:
        """Delete items; see `WritableIndex`."""
        return await self._write(lambda lookup: lookup.removed(ids), deadline)

    async def rebuild(self) -> IndexManifest:
        """Write a new base that has all changes in it, in a process of low priority, and move to it.

        Searches and changes go on meanwhile, in every process.

        Raises:
            RebuildRunning: a rebuild is under way.
        """
        self._check_open()
        await run_rebuild(self._live.root, self._reserve)
        await self._workers.run(lambda step: self._live.current(), Deadline.after(60))
        return self.manifest

    async def close(self) -> None:
        """Stop the threads; the files are closed with the last reference to the index."""
        self._closed = True
        if self._upkeep is not None:
            self._upkeep.close()
        await self._rebuilder.close()
        await self._writer.close()
        await super().close()
        self._live.told = _nobody  # who is told knows the index, so that neither would be freed

    async def _checker_now(self, deadline: Deadline) -> Checker:
        """That of the base that is there now: an index which is only changed hears of it here."""
        self._check_open()
        live = self._live
        if live.replaced:
            await self._workers.run(lambda step: live.current(), deadline)
        return self._checker

    async def _write(self, plan: Plan, deadline: Deadline) -> WriteResult:
        self._check_open()
        if deadline.passed:
            raise IndexUnavailable("timeout")
        try:
            result = await self._writer.write(plan, deadline)
        except IndexUnavailable as error:
            if error.reason in ("no-space", "write-failed"):
                if not self._refusing:  # a line for each time that it begins, not for each change
                    log.error("changes are refused: %s", error)
                self._refusing = True
                self._live.told("no_space" if error.reason == "no-space" else "write_failed")
            raise
        if self._refusing:
            log.info("changes are taken again")
        self._refusing = False
        if not self._closed:
            self._rebuilder.changed(self._live, self.rebuild)
        return result


def _nobody(event: IndexEvent) -> None:
    """Hears what a closed index tells."""
