"""Micro-batching on one worker thread: take what is queued, never wait for more.

On a CPU a batch is little faster than its members one by one, so waiting for more jobs costs more than it
gains. Jobs that queued up while the thread was busy are batched at no cost.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Generic, Literal, TypeVar

from common.seldom import Seldom
from service.errors import FieldError, ModelFailed, Overloaded
from service.query.pace import Pace

log = logging.getLogger("mrse.encode")

#: Longest wait for the thread when the batcher is closed (seconds). One that hangs is left behind.
_CLOSE_S = 5.0

J = TypeVar("J")
R = TypeVar("R")
#: How a run failed: it raised, gave other than one result a job or numbers that are not finite, or its thread
#: died.
Failure = Literal["error", "count", "not_finite", "thread"]
_Batch = list[tuple[J, "asyncio.Future[R]"]]


class MicroBatcher(Generic[J, R]):
    """Runs jobs of one event loop in batches on its own thread.

    A job whose future was cancelled before its turn is dropped. When a batch of several fails, its members
    run again one by one, so that a job that breaks its batch fails alone. Whatever ``work`` raises or gives,
    every caller gets a result or an error, and the thread goes on; one that died is replaced.

    Args:
        work: results for jobs, aligned; an exception among them is that job's alone. Runs on the thread.
        max_batch: jobs taken at once.
        queue: jobs that may wait.
        patience_s: no job may wait longer, by how long those before it take.
        name: of the thread.
        failed: told how a run failed.
        ran: told how many jobs a run had, on the event loop: what counts has no thread but that.
    """

    def __init__(
        self,
        work: Callable[[list[J]], Sequence[R | Exception]],
        *,
        max_batch: int,
        queue: int,
        patience_s: float = float("inf"),
        name: str,
        failed: Callable[[Failure], None] = lambda how: None,
        ran: Callable[[int], None] = lambda jobs: None,
    ) -> None:
        self._work = work
        self._max_batch = max_batch
        self._limit = queue
        self._pace = Pace(patience_s)
        self._name = name
        self._failed = failed
        self._ran = ran
        self._told = Seldom()
        self._queue: SimpleQueue[tuple[J, asyncio.Future[R]] | None] = SimpleQueue()
        self._batch: _Batch[J, R] = []
        self._closed = False
        #: Runs that gave what they should: grows as long as the thread gets on.
        self.succeeded = 0
        self._thread = self._start()

    @property
    def depth(self) -> int:
        """Jobs that wait."""
        return self._queue.qsize()

    async def submit(self, job: J, within_s: float = float("inf")) -> R:
        """The result of a job; cancelling the caller drops the job if it has not started.

        Args:
            job: see there.
            within_s: seconds in which it is to be done, or not at all.

        Raises:
            Overloaded: too many jobs wait, or for too long, or the batcher is closed.
            ModelFailed: the thread died and no other can be started, or it gave no result.
            Exception: what ``work`` raised for this job.
        """
        depth = self._queue.qsize()
        # What is being run is waited for too.
        ahead = depth + len(self._batch)
        if self._closed or depth >= self._limit or self._pace.too_long(ahead, within_s):
            raise Overloaded("too many queries wait to be encoded")
        if not self._thread.is_alive():
            self._revive()
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._queue.put((job, future))
        return await future

    def close(self) -> None:
        """Finish what waits, end the thread and let go of ``work``, whose owner may own this batcher."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join(_CLOSE_S)
            if self._thread.is_alive():
                log.error("the thread %s does not end, it is left behind", self._name)
            self._work = _ended

    def _start(self) -> threading.Thread:
        thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
        thread.start()
        return thread

    def _revive(self) -> None:
        """Start another thread in place of one that died, whose batch fails."""
        self._failed("thread")
        log.error("the thread %s died, another takes its place", self._name)
        self._give_up(ModelFailed("the thread that ran the query died"))
        try:
            self._thread = self._start()
        except (RuntimeError, MemoryError) as error:
            raise ModelFailed("no thread can be started to run the query") from error

    def _serve(self) -> None:
        while True:
            try:
                if not self._turn():
                    return
            except BaseException as error:  # not even a fault of ours may leave callers waiting
                self._note("error", error)
                self._give_up(_presentable(error))

    def _turn(self) -> bool:
        """Run the next batch; False when the batcher was closed."""
        entry = self._queue.get()
        self._batch = batch = []
        while entry is not None:
            if not entry[1].cancelled():
                batch.append(entry)
            if len(batch) >= self._max_batch or self._queue.empty():
                break
            entry = self._queue.get()
        if batch:
            self._run(batch)
        self._batch = []
        return entry is not None

    def _run(self, batch: _Batch[J, R]) -> None:
        results: Sequence[R | Exception]
        ran: Callable[[int], None] | None = None
        try:
            began = time.perf_counter()
            results = self._work([job for job, _ in batch])
            self._pace.took(time.perf_counter() - began, len(batch))
            if len(results) != len(batch):
                raise _WrongCountError(f"{len(results)} results for {len(batch)} jobs")
            self.succeeded += 1
            ran = self._ran
        except BaseException as error:
            self._note("count" if isinstance(error, _WrongCountError) else "error", error)
            if len(batch) > 1:
                for entry in batch:
                    self._run([entry])
                return
            results = [_presentable(error)]
        _post([future for _, future in batch], results, ran)

    def _give_up(self, error: Exception) -> None:
        """Fail the batch at hand."""
        futures = [future for _, future in self._batch]
        self._batch = []
        if futures:
            _post(futures, [error] * len(futures))

    def _note(self, how: Failure, error: BaseException) -> None:
        if isinstance(error, FieldError):  # the request's own fault
            return
        self._failed(how)
        left_out = self._told.now()
        if left_out is not None:
            log.error("%s failed", self._name, exc_info=error, extra={"left_out": left_out})


class _WrongCountError(Exception):
    """There is not one result for each job."""


def _presentable(error: BaseException) -> Exception:
    """The error as a future takes it, which refuses some, and as a caller may get it without ending."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")


def _post(
    futures: list[asyncio.Future[R]],
    results: Sequence[R | Exception],
    ran: Callable[[int], None] | None = None,
) -> None:
    try:  # all results with one wake-up
        futures[0].get_loop().call_soon_threadsafe(_resolve, futures, results, ran)
    except RuntimeError:
        log.debug("the event loop is closed, results dropped")


def _resolve(
    futures: list[asyncio.Future[R]],
    results: Sequence[R | Exception],
    ran: Callable[[int], None] | None,
) -> None:
    for future, result in zip(futures, results, strict=True):
        if not future.done():
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
    if ran is not None:
        ran(len(futures))


def _ended(jobs: object) -> Sequence[R | Exception]:
    raise ModelFailed("the encoder is closed")
