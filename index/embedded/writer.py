"""Group commit: changes that arrive while the disk is busy go to it together."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from common.deadline import Deadline
from index.changes import WriteResult
from index.embedded.changes import Lookup, Plan
from index.embedded.live import NOTE_EVERY_S, LiveIndex
from index.embedded.state import State
from index.port import IndexFull, IndexUnavailable

#: Calls that may wait to be written.
QUEUE = 4096
#: What the system says where there is no room for a file's bytes.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Writer:
    """Writes, on one thread, what has come in since it last did. For one event loop."""

    def __init__(self, live: LiveIndex) -> None:
        self._live = live
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="index-writer")
        self._waiting: list[tuple[Plan, Deadline, asyncio.Future[WriteResult]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._settling: asyncio.Task[None] | None = None
        self._closed = False

    async def write(self, plan: Plan, deadline: Deadline) -> WriteResult:
        """Carry out a plan; it is durable and visible when this returns.

        Raises:
            IndexUnavailable: ``timeout``, ``overloaded``, ``closed``, or ``write-failed`` (such as a full
                disk). After a timeout it may have been done.
        """
        if self._closed:
            raise IndexUnavailable("closed")
        if len(self._waiting) >= QUEUE:
            raise IndexUnavailable("overloaded", "the queue for changes is full")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[WriteResult] = loop.create_future()
        self._waiting.append((plan, deadline, future))
        if self._writing is None or self._writing.done():
            self._writing = loop.create_task(self._write_all(), name="write to the index")
        try:
            async with asyncio.timeout(deadline.remaining()):
                return await asyncio.shield(future)
        except TimeoutError:
            raise IndexUnavailable("timeout", "the change may have been done or not") from None

    async def close(self) -> None:
        """Write what waits, then stop."""
        self._closed = True
        if self._writing is not None:
            await self._writing
        if self._settling is not None:
            self._settling.cancel()
            await asyncio.gather(self._settling, return_exceptions=True)
            await asyncio.to_thread(self._live.settle)
        await asyncio.to_thread(self._thread.shutdown)  # it may be waiting for the disk
        # A task that was cancelled keeps its frames, and with them the files of the index.
        self._writing = self._settling = None

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            group = [entry for entry in waiting if not entry[1].passed]
            plans = [plan for plan, _, _ in group]
            outcomes = await loop.run_in_executor(self._thread, self._commit, plans)
            for (_, _, future), outcome in zip(group, outcomes, strict=True):
                if isinstance(outcome, WriteResult):
                    future.set_result(outcome)
                else:
                    future.set_exception(outcome)
        if self._settling is None or self._settling.done():
            self._settling = loop.create_task(self._settle(), name="settle the index's log")

    async def _settle(self) -> None:
        await asyncio.sleep(NOTE_EVERY_S)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._live.settle)

    def _commit(self, plans: Sequence[Plan]) -> list[WriteResult | Exception]:
        """Carry out plans together; the result of each, or why it has none."""
        outcomes: list[WriteResult | Exception] = []

        def changes(state: State) -> Iterator[tuple[bytes, int]]:
            lookup = Lookup(state)
            for plan in plans:
                try:
                    packed, result = plan(lookup)
                except Exception as error:  # a plan that fails does not fail the others
                    outcomes.append(error)
                else:
                    outcomes.append(result)
                    if result.written:
                        yield packed, result.written

        try:
            self._live.commit(changes)
        except Exception as error:
            refused = _refusal(error)
            refused.__cause__ = error
            return [refused for _ in plans]
        return outcomes


def _refusal(error: Exception) -> IndexUnavailable:
    if isinstance(error, IndexUnavailable):
        return error
    if isinstance(error, OSError) and error.errno in _FULL:
        return IndexFull(str(error))
    return IndexUnavailable("write-failed", str(error))
