"""Runs a job: `Job.run` on threads, everything else in order on the calling thread, with a journal in Redis.

The calling thread prepares rows and writes those that are ready. Only what releases the interpreter's lock
runs on other threads: more Python threads would take turns, and the graph would wait for its own.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from common.progress import StageProgress, silent_stage
from producer.job import Entries, Job
from producer.journal import Journal
from producer.store import Store

#: Rows that may be encoded and not yet in Redis: what a kill can cost. *Inferred*.
BATCH = 4096
#: Rows encoded in one run, and values in one write. A write of 256 keeps Redis, which serves requests too,
#: busy for about a millisecond; in runs of 1024 the graph takes a tenth longer for a row.
_AT_ONCE = 256
#: Niceness of the running threads above that of the thread that feeds them. *Inferred*.
_NICER = 5


@dataclass(frozen=True, slots=True)
class Filled:
    """What a job did: ``rows`` of this run, ``written`` keys among them, after ``resumed_from`` rows."""

    job: str
    bundle_version: str
    total: int
    resumed_from: int
    rows: int
    written: int
    skipped: int
    seconds: float


def fill(job: Job, store: Store, *, batch: int = BATCH, progress: StageProgress = silent_stage) -> Filled:
    """Write all rows of a job that are not there yet; at most ``batch`` rows are encoded and not yet written.

    Raises:
        RedisError: Redis is away, or full; what is marked stays done.
    """
    began = time.perf_counter()
    journal = Journal(job, store.ttl_s)
    resumed = done = journal.resume(store.redis)
    written = skipped = 0
    step = slice_rows(batch, job.workers)
    starts = iter(range(resumed, len(job), step))
    progress(done, len(job))
    pool = ThreadPoolExecutor(job.workers, "produce", initializer=_give_way if _crowded(job) else None)
    try:
        pending: deque[tuple[int, int, Future[Any]]] = deque()
        while True:
            # One slice less than `batch` allows, for the slice that is being written counts too.
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
    rows, seconds = done - resumed, time.perf_counter() - began
    return Filled(job.name, job.bundle_version, len(job), resumed, rows, written, skipped, seconds)


def _crowded(job: Job) -> bool:
    """Whether the job's threads fill all cores. Only Linux has a niceness for each thread."""
    return sys.platform == "linux" and job.workers >= len(os.sched_getaffinity(0))


def _give_way() -> None:
    """Make this thread nicer, so that the thread that feeds all of them need not wait for a core.

    With a run on each core the feeding thread would wait its turn, and then the runs for it.
    """
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICER)


def slice_rows(batch: int, workers: int) -> int:
    """Rows encoded in one run: few enough for a core's cache, and for a batch to keep all workers busy."""
    return max(1, min(_AT_ONCE, batch // (2 * workers + 2)))


def _write(job: Job, store: Store, journal: Journal, entries: Entries, done: int) -> None:
    """Write all values, then the mark: after a kill in between, the values are written again."""
    for start in range(0, max(1, len(entries.keys)), _AT_ONCE):
        keys = entries.keys[start : start + _AT_ONCE]
        values = entries.values[start : start + _AT_ONCE]
        mark = journal.mark(done) if start + _AT_ONCE >= len(entries.keys) else None
        if job.reconciles and keys:
            store.update(keys, partial(_reconciled, job, values), mark)
        else:
            store.put(keys, values, mark)


def _reconciled(job: Job, values: Sequence[bytes], stored: Sequence[bytes | None]) -> list[bytes]:
    return [new if old is None else job.reconcile(old, new) for old, new in zip(stored, values, strict=True)]
