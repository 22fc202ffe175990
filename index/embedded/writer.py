"""Group commit: changes that arrive while the disk is busy go to it together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from common.deadline import Deadline
from index.embedded.changes import Lookup, Plan
from index.embedded.live import LiveIndex, State
from index.embedded.log import Change
from index.port import IndexUnavailable, WriteResult

#: Calls that may wait to be written.
QUEUE = 4096


class Writer:
    """One thread that writes what has come in since it last did."""

    def __init__(self, live: LiveIndex) -> None:
        self._live = live
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="index-writer")
        self._waiting: list[tuple[Plan, Deadline, Future[WriteResult]]] = []
        self._lock = threading.Lock()

    async def write(self, plan: Plan, deadline: Deadline) -> WriteResult:
        """Carry out a plan; it is durable and visible when this returns.

        Raises:
            IndexUnavailable: ``timeout``, ``overloaded``, ``closed``, or ``write-failed`` (such as a full
                disk). After a timeout it may have been done.
        """
        future: Future[WriteResult] = Future()
        with self._lock:
            if len(self._waiting) >= QUEUE:
                raise IndexUnavailable("overloaded", "the queue for changes is full")
            self._waiting.append((plan, deadline, future))
        try:
            self._thread.submit(self._drain)
        except RuntimeError as error:
            raise IndexUnavailable("closed") from error
        try:
            async with asyncio.timeout(deadline.remaining()):
                return await asyncio.shield(asyncio.wrap_future(future))
        except TimeoutError:
            raise IndexUnavailable("timeout", "the change may have been done or not") from None

    async def close(self) -> None:
        """Write what waits, then stop."""
        await asyncio.to_thread(self._thread.shutdown)

    def _drain(self) -> None:
        with self._lock:
            group, self._waiting = self._waiting, []
        group = [entry for entry in group if not self._late(entry[1], entry[2])]
        if not group:
            return
        results: list[WriteResult | Exception] = []

        def changes(state: State) -> Sequence[Change]:
            lookup = Lookup(state)
            planned: list[Change] = []
            for plan, _, _ in group:
                try:
                    more, result = plan(lookup)
                except Exception as error:  # one plan's fault is no other's
                    results.append(error)
                else:
                    planned.extend(more)
                    results.append(result)
            return planned

        try:
            self._live.commit(changes)
        except Exception as error:
            refused = IndexUnavailable("write-failed", str(error))
            refused.__cause__ = error
            results = [refused for _ in group]
        for (_, _, future), outcome in zip(group, results, strict=True):
            if isinstance(outcome, WriteResult):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)

    @staticmethod
    def _late(deadline: Deadline, future: Future[WriteResult]) -> bool:
        if deadline.passed:
            future.set_exception(IndexUnavailable("timeout"))
        return deadline.passed
