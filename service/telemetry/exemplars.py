"""Exemplars: of each bucket of the time of requests, the trace of a request that fell into it.

Where requests are traced, the last one of each route and bucket is kept: a few hundred at most. Workers that
share their metrics put theirs into the folder too, since prometheus-client keeps none there.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import orjson
from prometheus_client import Metric
from prometheus_client.samples import Exemplar, Sample
from prometheus_client.utils import floatToGoString

from common.files import replacing

#: By route and upper bound of the bucket: trace, seconds that the request took, and when, since 1970.
Kept: TypeAlias = dict[tuple[str, str], tuple[str, float, float]]
_PREFIX = "exemplars_"
#: Seconds after which one is forgotten, and a file of a process that writes no more is removed.
_LASTS_S = 600.0


class Exemplars:
    """Keeps those of one worker.

    Args:
        buckets: upper bounds of the histogram's buckets, in seconds, rising; above the last it is infinite.
        folder: where workers count together; None where each counts for itself.
    """

    def __init__(self, buckets: Sequence[float], folder: Path | None) -> None:
        self._buckets = buckets
        self._bounds = [floatToGoString(bound) for bound in (*buckets, float("inf"))]  # type: ignore[no-untyped-call]
        self._folder = folder
        self._changed = False
        self.kept: Kept = {}

    def note(self, route: str, seconds: float, trace_id: str) -> None:
        """A request that is traced was answered; ``route`` is its template."""
        bound = self._bounds[bisect_left(self._buckets, seconds)]
        self.kept[route, bound] = (trace_id, seconds, time.time())
        self._changed = True

    def write(self) -> None:
        """Put what is new into the folder, and take away what nobody writes any more."""
        if self._folder is None or not self._changed:
            return
        self._changed = False
        rows = [[*key, *value] for key, value in self.kept.items()]
        with suppress(OSError):  # counters go on without them
            with replacing(self._folder / f"{_PREFIX}{os.getpid()}.json") as new:
                new.write_bytes(orjson.dumps(rows))
            for file in self._folder.glob(f"{_PREFIX}*.json"):
                if file.stat().st_mtime < time.time() - _LASTS_S:
                    file.unlink(missing_ok=True)


def written(folder: Path) -> Kept:
    """The latest of all workers that share a folder."""
    found: Kept = {}
    for file in folder.glob(f"{_PREFIX}*.json"):
        with suppress(OSError, ValueError):  # being removed
            for route, bound, trace_id, seconds, at in orjson.loads(file.read_bytes()):
                if (route, bound) not in found or found[route, bound][2] < at:
                    found[route, bound] = (trace_id, seconds, at)
    return found


def with_exemplars(families: Iterable[Metric], name: str, kept: Kept) -> Iterator[Metric]:
    """The metrics, with exemplars on the buckets of the one that is named; none that is long ago."""
    since = time.time() - _LASTS_S
    for family in families:
        if family.name == name:
            family.samples = [_with_exemplar(sample, kept, since) for sample in family.samples]
        yield family


def _with_exemplar(sample: Sample, kept: Kept, since: float) -> Sample:
    found = kept.get((sample.labels.get("route", ""), sample.labels.get("le", "")))
    if found is None or found[2] < since or not sample.name.endswith("_bucket"):
        return sample
    trace_id, seconds, at = found
    return sample._replace(exemplar=Exemplar({"trace_id": trace_id}, seconds, round(at, 3)))
