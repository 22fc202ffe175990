"""Runs a job: its long part on threads, all else beside them, in order, and marks how far it is.

One thread prepares rows, writes those that are ready and waits for Redis; only what releases the
interpreter's lock runs beside it. More threads of Python would take turns, and make the graph wait for its.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

from producer.journal import Journal
from producer.store import Change, Store

P = TypeVar("P")
R = TypeVar("R")

Progress = Callable[[int, int | None], None]
#: Most rows that are encoded and not yet in Redis, so the most that a kill costs. *Inferred*.
BATCH = 4096
#: Most rows encoded in one go, and values in one write. Redis does nothing else meanwhile, about a
#: millisecond, and it serves requests too; the graph takes a tenth longer for a row of 1024 than of 256.
_AT_ONCE = 256
#: By how much runs are nicer than what feeds them, where they fill the machine. *Inferred*.
_YIELD = 5


@dataclass(frozen=True, slots=True)
class Entries:
    """Keys and values of some rows. ``skipped`` rows have no value worth keeping: none is never cached."""

    keys: Sequence[str]
    values: Sequence[bytes]
    skipped: int = 0


class Job(Protocol[P, R]):
    """Rows in a fixed order, each of which becomes a key and a value, in three steps."""

    name: str
    bundle_version: str
    #: Runs side by side.
    workers: int
    #: Whether what is stored matters; without it, a value replaces what is there unread.
    reconciles: bool

    @property
    def source(self) -> str:
        """Digest of all rows, in order."""

    def __len__(self) -> int:
        """Rows in all."""

    def prepare(self, start: int, end: int) -> P:
        """What the run over the rows from ``start`` up to ``end`` takes."""

    def run(self, prepared: P) -> R:
        """The long part; called on threads."""

    def entries(self, start: int, end: int, ran: R) -> Entries:
        """Keys and values of the rows."""

    def reconcile(self, stored: bytes, value: bytes) -> bytes:
        """The value to keep where another is there already."""


class OneStep:
    """For jobs that have nothing to prepare: a subclass writes `encode`, which is called on threads."""

    def encode(self, start: int, end: int) -> Entries:
        """Keys and values of the rows from ``start`` up to ``end``."""
        raise NotImplementedError

    def prepare(self, start: int, end: int) -> tuple[int, int]:
        """See `Job.prepare`."""
        return start, end

    def run(self, prepared: tuple[int, int]) -> Entries:
        """See `Job.run`."""
        return self.encode(*prepared)

    def entries(self, start: int, end: int, ran: Entries) -> Entries:
        """See `Job.entries`."""
        return ran


@dataclass(frozen=True, slots=True)
class Filled:
    """What a job did. ``rows`` counts the rows of this run, ``written`` the keys among them."""

    job: str
    bundle_version: str
    total: int
    resumed_from: int
    rows: int
    written: int
    skipped: int
    seconds: float


def fill(
    job: Job[P, R], store: Store, *, batch: int = BATCH, progress: Progress = lambda done, total: None
) -> Filled:
    """Write all rows of a job that are not there yet.

    Args:
        job: what to write.
        store: where to.
        batch: most rows that are encoded and not yet written.
        progress: called with the rows done and rows in all.

    Raises:
        RedisError: Redis is away, or full; what is marked stays done.
    """
    began = time.perf_counter()
    journal = Journal(job.bundle_version, job.name, job.source, len(job), store.ttl_s)
    resumed = done = journal.resume(store.redis)
    written = skipped = 0
    step = slice_rows(batch, job.workers)
    starts = iter(range(resumed, len(job), step))
    progress(done, len(job))
    # With a run on each core the thread that feeds them all would wait its turn, and they for it. Only Linux
    # has a niceness for each thread.
    crowded = job.workers >= len(os.sched_getaffinity(0)) if sys.platform == "linux" else False
    pool = ThreadPoolExecutor(
        job.workers, thread_name_prefix="produce", initializer=_give_way if crowded else None
    )
    try:
        pending: deque[tuple[int, int, Future[R]]] = deque()
        while True:
            # One slice less than `batch` allows: the one that is being written counts too.
            while len(pending) < max(1, batch // step - 1) and (start := next(starts, None)) is not None:
                end = min(start + step, len(job))
                pending.append((start, end, pool.submit(job.run, job.prepare(start, end))))
            if not pending:
                break
            begin, done, future = pending.popleft()
            entries = job.entries(begin, done, future.result())
            _write(job, store, journal, entries, done)
            written += len(entries.keys)
            skipped += entries.skipped
            progress(done, len(job))
    finally:
        pool.shutdown(cancel_futures=True)
    return Filled(
        job.name,
        job.bundle_version,
        len(job),
        resumed,
        done - resumed,
        written,
        skipped,
        time.perf_counter() - began,
    )


def _give_way() -> None:
    """Let this thread wait for the others, where there are more of them than cores."""
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _YIELD)


def slice_rows(batch: int, workers: int) -> int:
    """Rows encoded in one go: few enough for a core's cache, and for a batch to keep all workers busy."""
    return max(1, min(_AT_ONCE, batch // (2 * workers + 2)))


def _write(job: Job[P, R], store: Store, journal: Journal, entries: Entries, done: int) -> None:
    """All values, then the mark: a kill in between means that they are written again."""
    for start in range(0, max(1, len(entries.keys)), _AT_ONCE):
        keys = entries.keys[start : start + _AT_ONCE]
        values = entries.values[start : start + _AT_ONCE]
        mark = journal.mark(done) if start + _AT_ONCE >= len(entries.keys) else None
        if job.reconciles and keys:
            store.update(keys, _reconciling(job, values), mark)
        else:
            store.put(keys, values, mark)


def _reconciling(job: Job[P, R], values: Sequence[bytes]) -> Change:
    def change(stored: Sequence[bytes | None]) -> list[bytes]:
        return [
            new if old is None else job.reconcile(old, new) for old, new in zip(stored, values, strict=True)
        ]

    return change
