"""Micro-batching on one worker thread: take what is queued, never wait for more.

On a CPU a batch gains little over its members one by one, so waiting for company costs more than it
brings; what has queued up while the thread was busy is free to batch.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, NamedTuple, TypeVar

from service.errors import Overloaded

log = logging.getLogger("mrse.encode")

J = TypeVar("J")
R = TypeVar("R")


class EncoderBusy(Overloaded):
    """The queue is full; the request should be refused, not wait."""

    def __init__(self) -> None:
        super().__init__("too many queries wait to be encoded")


class _Entry(NamedTuple, Generic[J, R]):
    job: J
    future: asyncio.Future[R]
    loop: asyncio.AbstractEventLoop


class MicroBatcher(Generic[J, R]):
    """Runs jobs in batches on its own thread.

    A job whose future was cancelled before its turn is dropped. When a batch of several fails, its members
    run again one by one, so that a poison job fails alone.

    Args:
        work: results for jobs, aligned; runs on the thread.
        max_batch: jobs taken at once.
        queue: jobs that may wait.
        name: of the thread.
        observe: told the size of each batch that ran, on the thread.
    """

    def __init__(
        self,
        work: Callable[[list[J]], list[R]],
        *,
        max_batch: int,
        queue: int,
        name: str,
        observe: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._work = work
        self._max_batch = max_batch
        self._limit = queue
        self._observe = observe
        self._queue: SimpleQueue[_Entry[J, R] | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Jobs that wait."""
        return self._queue.qsize()

    async def submit(self, job: J) -> R:
        """The result of a job; cancelling the caller drops the job if it has not started.

        Raises:
            EncoderBusy: too many jobs wait, or the batcher is closed.
        """
        if self._closed or self._queue.qsize() >= self._limit:
            raise EncoderBusy
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._queue.put(_Entry(job, future, loop))
        return await future

    def close(self) -> None:
        """Finish what waits and end the thread."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join()

    def _serve(self) -> None:
        while True:
            entry = self._queue.get()
            batch: list[_Entry[J, R]] = []
            while entry is not None:
                if not entry.future.cancelled():
                    batch.append(entry)
                if len(batch) >= self._max_batch or self._queue.empty():
                    break
                entry = self._queue.get()
            if batch:
                self._run(batch)
            if entry is None:
                return

    def _run(self, batch: list[_Entry[J, R]]) -> None:
        try:
            results = self._work([entry.job for entry in batch])
            self._observe(len(batch))
        except Exception as error:
            if len(batch) == 1:
                failed: list[_Outcome[R]] = [(batch[0].future, None, error)]
                _deliver(batch[0].loop, failed)
                return
            log.warning("a batch of %d failed, running it one by one", len(batch), exc_info=error)
            for entry in batch:
                self._run([entry])
            return
        by_loop: dict[asyncio.AbstractEventLoop, list[_Outcome[R]]] = {}
        for entry, result in zip(batch, results, strict=True):
            by_loop.setdefault(entry.loop, []).append((entry.future, result, None))
        for loop, outcomes in by_loop.items():
            _deliver(loop, outcomes)


_Outcome = tuple[asyncio.Future[R], R | None, Exception | None]


def _deliver(loop: asyncio.AbstractEventLoop, outcomes: list[_Outcome[R]]) -> None:
    """Hand results over to the loop, all with one wake-up."""
    try:
        loop.call_soon_threadsafe(_resolve, outcomes)
    except RuntimeError:
        log.debug("the event loop is closed, results dropped")


def _resolve(outcomes: list[_Outcome[R]]) -> None:
    for future, result, error in outcomes:
        if future.done():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # a result wherever there is no error
