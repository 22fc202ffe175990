"""Worker threads: deadlines, a bounded queue, cancelled and closed."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from common.deadline import Deadline
from index.embedded.workers import Overruns, Workers
from index.filters import AnyOf, Filter
from index.port import IndexUnavailable


def _deadline() -> Deadline:
    return Deadline.after(60)


async def test_a_deadline_while_the_thread_is_busy() -> None:
    workers, gate = Workers(1, 4, lambda: None), threading.Event()
    with pytest.raises(IndexUnavailable, match="timeout"):
        await workers.run(lambda checkpoint: gate.wait(), Deadline.after(0.02))
    gate.set()
    assert await workers.run(lambda checkpoint: "next", _deadline()) == "next"
    await workers.close()


async def test_the_queue_is_bounded_and_recovers() -> None:
    workers, gate = Workers(1, 2, lambda: None), threading.Event()
    waiting = [asyncio.ensure_future(workers.run(lambda _: gate.wait(), _deadline())) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(IndexUnavailable, match="overloaded"):
        await workers.run(lambda _: None, _deadline())
    gate.set()
    assert await asyncio.gather(*waiting) == [True] * 3
    for _ in range(10):
        await workers.run(lambda _: None, _deadline())
    await workers.close()


async def test_a_cancelled_search_stops_at_its_next_step_and_gives_its_slot_back() -> None:
    workers, started, gate = Workers(1, 0, lambda: None), threading.Event(), threading.Event()
    stopped, finished = [], threading.Event()

    def job(checkpoint: Any) -> None:
        started.set()
        gate.wait()
        try:
            checkpoint(0)
        except IndexUnavailable as error:
            stopped.append(error.reason)
            raise
        finally:
            finished.set()

    task = asyncio.ensure_future(workers.run(job, _deadline()))
    await asyncio.to_thread(started.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # The thread is still busy, so its slot is still taken.
    with pytest.raises(IndexUnavailable, match="overloaded"):
        await workers.run(lambda _: None, _deadline())
    gate.set()
    await asyncio.to_thread(finished.wait)
    await workers.close()
    assert stopped == ["timeout"]


def test_overruns_are_kept_within_a_bound() -> None:
    overruns = Overruns(filters=2)
    a, b, c = (Filter((AnyOf("name", (name,)),)) for name in "abc")
    for accepted in (a, b, c):
        overruns.note(accepted, True)
        overruns.note(accepted, True)
    assert [a in overruns, b in overruns, c in overruns] == [False, True, True]


async def test_searches_that_wait_when_it_closes_fail() -> None:
    workers, started, gate = Workers(1, 4, lambda: None), threading.Event(), threading.Event()

    def job(checkpoint: Any) -> str:
        started.set()
        gate.wait()
        return "done"

    first = asyncio.ensure_future(workers.run(job, _deadline()))
    second = asyncio.ensure_future(workers.run(job, _deadline()))
    await asyncio.to_thread(started.wait)
    closing = asyncio.ensure_future(workers.close())
    await asyncio.sleep(0)
    gate.set()
    await closing
    assert await first == "done"
    with pytest.raises(IndexUnavailable, match="closed"):
        await second
    with pytest.raises(IndexUnavailable, match="closed"):
        await workers.run(job, _deadline())
