"""Fills queries slowly, noting which rows it encodes, to be killed: ``URL BUNDLE QUERIES BATCH NOTES``."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from artifacts.bundle import Bundle, TextBatch
from producer.fill import fill
from producer.queries import QueryJob
from producer.store import Store, connect


class Noted(QueryJob):
    """Writes down each slice when its work begins."""

    notes: int

    def prepare(self, start: int, end: int) -> TextBatch:
        os.write(self.notes, f"{start} {end}\n".encode())
        time.sleep(0.01)
        return super().prepare(start, end)


def main() -> None:
    url, bundle, count, batch, notes = sys.argv[1:]
    job = Noted(Bundle.load(Path(bundle)), [f"query number {n}" for n in range(int(count))])
    job.notes = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with connect(url) as redis:
        fill(job, Store(redis, 3600), batch=int(batch))


if __name__ == "__main__":
    main()
