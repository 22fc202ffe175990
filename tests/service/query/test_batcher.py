"""A batcher whose work fails in every way: every caller gets an error, and the thread goes on."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import threading
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from devtools.waiting import wait_for
from service.errors import FieldError, ModelFailed
from service.query.batcher import MicroBatcher

Work = Callable[[list[int]], Sequence[int | Exception]]


@asynccontextmanager
async def batching(work: Work, how: Counter[str] | None = None) -> AsyncIterator[MicroBatcher[int, int]]:
    counted = Counter() if how is None else how
    batcher = MicroBatcher(
        work, max_batch=8, queue=100, name="test", failed=lambda each: counted.update([each])
    )
    yield batcher
    await asyncio.to_thread(batcher.close)


def raising(error: BaseException) -> Work:
    def work(jobs: list[int]) -> list[int]:
        raise error

    return work


@pytest.mark.parametrize(
    ("broken", "how", "expected"),
    [
        (lambda jobs: jobs[:-1], "count", Exception),
        (lambda jobs: [*jobs, 1], "count", Exception),
        (lambda jobs: [], "count", Exception),
        (lambda jobs: None, "error", TypeError),
        (raising(MemoryError()), "error", MemoryError),
        (raising(ValueError("x")), "error", ValueError),
        (raising(StopIteration()), "error", RuntimeError),
        (raising(SystemExit(1)), "error", RuntimeError),
        (raising(KeyboardInterrupt()), "error", RuntimeError),
        (raising(asyncio.CancelledError()), "error", RuntimeError),
    ],
)
async def test_whatever_work_does_callers_get_an_error_and_the_next_job_is_done(
    broken: Work, how: str, expected: type[Exception]
) -> None:
    counted: Counter[str] = Counter()
    async with batching(broken, counted) as batcher:
        results = await asyncio.gather(*(batcher.submit(n) for n in range(3)), return_exceptions=True)
        assert all(isinstance(result, expected) for result in results), results
        assert set(counted) == {how}
        assert batcher.succeeded == 0
        batcher._work = lambda jobs: [10 * job for job in jobs]
        assert await batcher.submit(4) == 40
        assert batcher.succeeded == 1


async def test_an_error_among_the_results_is_one_job_s_alone() -> None:
    def work(jobs: list[int]) -> list[int | Exception]:
        return [ModelFailed("odd") if job % 2 else job for job in jobs]

    async with batching(work) as batcher:
        results = await asyncio.gather(*(batcher.submit(n) for n in range(4)), return_exceptions=True)
    assert [type(result) for result in results] == [int, ModelFailed, int, ModelFailed]


async def test_a_request_s_own_fault_is_not_counted_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    counted: Counter[str] = Counter()
    async with batching(raising(FieldError("picture", "damaged")), counted) as batcher:
        with pytest.raises(FieldError):
            await batcher.submit(1)
    assert not counted
    assert not caplog.records


async def test_a_thousand_failures_are_counted_and_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    counted: Counter[str] = Counter()
    async with batching(raising(ValueError("x")), counted) as batcher:
        batcher._told._clock = lambda: 1.0
        for _ in range(1000):
            with pytest.raises(ValueError, match="x"):
                await batcher.submit(1)
        batcher._told._clock = lambda: 2.5
        with pytest.raises(ValueError, match="x"):
            await batcher.submit(1)
    assert counted == {"error": 1001}
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [vars(record)["left_out"] for record in told] == [0, 999]


async def test_a_thread_that_is_told_to_end_fails_its_batch_and_goes_on() -> None:
    counted: Counter[str] = Counter()
    taken = threading.Event()

    def forever(jobs: list[int]) -> list[int]:
        taken.set()
        while True:
            pass

    async with batching(forever, counted) as batcher:
        lost = asyncio.create_task(batcher.submit(1))
        await asyncio.to_thread(taken.wait)
        batcher._work = lambda jobs: jobs
        kill(batcher._thread)
        with pytest.raises(RuntimeError, match="SystemExit"):
            await lost
        assert await batcher.submit(2) == 2


async def test_a_dead_thread_without_a_handler_is_noticed_by_the_next_job() -> None:
    counted: Counter[str] = Counter()
    async with batching(lambda jobs: jobs, counted) as batcher:
        batcher._queue.put(None)  # as if it had ended by itself
        await asyncio.to_thread(batcher._thread.join)
        assert await batcher.submit(3) == 3
        assert counted == {"thread": 1}


async def test_no_thread_to_be_had_is_an_error_and_not_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async with batching(lambda jobs: jobs) as batcher:
        batcher._queue.put(None)
        await asyncio.to_thread(batcher._thread.join)

        def none() -> threading.Thread:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(batcher, "_start", none)
            with pytest.raises(ModelFailed, match="no thread"):
                await batcher.submit(1)
        assert await batcher.submit(2) == 2


class Owner:
    """Owns a batcher whose work is its own method, as an encoder does."""

    def __init__(self) -> None:
        self.batcher: MicroBatcher[int, int] = MicroBatcher(self.work, max_batch=1, queue=1, name="owned")

    def work(self, jobs: list[int]) -> list[int]:
        return jobs


def test_a_closed_batcher_lets_go_of_its_owner_without_the_collector() -> None:
    owner = Owner()
    gone = weakref.ref(owner)
    thread = owner.batcher._thread
    owner.batcher.close()
    wait_for(lambda: not thread.is_alive())
    gc.disable()
    try:
        del owner
        assert gone() is None
    finally:
        gc.enable()


def kill(thread: threading.Thread) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit)
    )
