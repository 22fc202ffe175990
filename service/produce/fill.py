"""Runs a job: encodes on threads while Redis takes what is ready, in order, and marks how far it is."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from service.produce.journal import Journal
from service.produce.store import Change, Store

Progress = Callable[[int, int | None], None]
#: Most rows that are encoded and not yet in Redis, so the most that a kill costs. *Inferred*.
BATCH = 4096
#: Values in one write. Redis does nothing else meanwhile, about a millisecond, and it serves requests too.
_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Entries:
    """Keys and values of some rows. ``skipped`` rows have no value worth keeping: none is never cached."""

    keys: Sequence[str]
    values: Sequence[bytes]
    skipped: int = 0


class Job(Protocol):
    """Rows in a fixed order, each of which becomes a key and a value."""

    name: str
    bundle_version: str
    #: Threads that encode side by side.
    workers: int

    @property
    def source(self) -> str:
        """Digest of all rows, in order."""

    def __len__(self) -> int:
        """Rows in all."""

    def encode(self, start: int, end: int) -> Entries:
        """Keys and values of the rows from ``start`` up to ``end``; called on several threads."""

    def reconcile(self, stored: bytes, value: bytes) -> bytes:
        """The value to keep where another is there already."""

    #: Whether what is stored matters; without it, a value replaces what is there unread.
    reconciles: bool


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
    job: Job, store: Store, *, batch: int = BATCH, progress: Progress = lambda done, total: None
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
    pool = ThreadPoolExecutor(job.workers, thread_name_prefix="produce")
    try:
        pending: deque[tuple[int, Future[Entries]]] = deque()
        while True:
            # One slice less than `batch` allows: the one that is being written counts too.
            while len(pending) < max(1, 2 * job.workers - 1) and (start := next(starts, None)) is not None:
                end = min(start + step, len(job))
                pending.append((end, pool.submit(job.encode, start, end)))
            if not pending:
                break
            done, future = pending.popleft()
            entries = future.result()
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


def slice_rows(batch: int, workers: int) -> int:
    """Rows encoded in one go: so many that as many slices as `fill` has under way are a batch."""
    return max(1, batch // (2 * workers))


def _write(job: Job, store: Store, journal: Journal, entries: Entries, done: int) -> None:
    """All values, then the mark: a kill in between means that they are written again."""
    for start in range(0, max(1, len(entries.keys)), _AT_ONCE):
        keys = entries.keys[start : start + _AT_ONCE]
        values = entries.values[start : start + _AT_ONCE]
        mark = journal.mark(done) if start + _AT_ONCE >= len(entries.keys) else None
        if job.reconciles and keys:
            store.update(keys, _reconciling(job, values), mark)
        else:
            store.put(keys, values, mark)


def _reconciling(job: Job, values: Sequence[bytes]) -> Change:
    def change(stored: Sequence[bytes | None]) -> list[bytes]:
        return [
            new if old is None else job.reconcile(old, new) for old, new in zip(stored, values, strict=True)
        ]

    return change
