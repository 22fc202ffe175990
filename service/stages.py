"""The seconds of each stage of a recall; and, where its request is traced, a span for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

from common.calling import SPAN, Span
from service.recall.routes.outcome import RouteOutcome

#: The stage that begins when another ends, by the name under which that one ends.
_NEXT = {"cache": "features", "encode": "features", "features": "fusion", "fusion": "routes"}
#: Entries of a batch whose stages are spans; of more, an exporter's queue (2,048 spans) would drop some.
_ENTRIES = 32


class Stages:
    """Measures the seconds of each stage."""

    __slots__ = ("_last", "seconds")

    #: Whether each stage is a span.
    traced: ClassVar[bool] = False

    def __init__(self) -> None:
        self.seconds: list[tuple[str, float]] = []
        self._last = time.perf_counter()

    def mark(self, name: str) -> None:
        """A stage ends, and the next begins."""
        now = time.perf_counter()
        self.seconds.append((name, now - self._last))
        self._last = now

    def add(self, outcomes: Mapping[str, RouteOutcome]) -> None:
        """Add the routes, which are measured where they run; the next stage begins now."""
        self.seconds += [
            (name, each.took_ms / 1000) for name, each in outcomes.items() if each.status == "ok"
        ]
        self._last = time.perf_counter()

    def failed(self, error: BaseException) -> None:
        """The stage that is under way is the last one."""


class TracedStages(Stages):
    """Measures, and makes each stage a span of its own, which the calls that are made in it belong to.

    For one task: it sets `common.calling.SPAN`.
    """

    __slots__ = ("_open", "_whole")

    traced = True

    def __init__(self, whole: Span) -> None:
        super().__init__()
        self._whole = whole
        self._open: Span | None = None
        self._begin("encode")

    def mark(self, name: str) -> None:
        """See `Stages.mark`."""
        super().mark(name)
        self._end(None, name)
        if (following := _NEXT.get(name)) is not None:
            self._begin(following)

    def add(self, outcomes: Mapping[str, RouteOutcome]) -> None:
        """See `Stages.add`."""
        super().add(outcomes)
        self._end(None, "routes")
        self._begin("merge")

    def failed(self, error: BaseException) -> None:
        """See `Stages.failed`."""
        self._end(type(error).__name__, None)

    def _begin(self, name: str) -> None:
        self._open = self._whole.child(name)
        SPAN.set(self._open)

    def _end(self, error: str | None, name: str | None) -> None:
        if self._open is not None:
            self._open.end(error, name=name)
            self._open = None
        SPAN.set(self._whole)


def stages_of(whole: Span | None) -> Stages:
    """The stages of a recall that is a part of ``whole``, which the task that begins it works on."""
    return TracedStages(whole) if whole is not None and whole.recording else Stages()


def past(name: str, seconds: float, ago_s: float = 0.0) -> None:
    """A stage of the request took so many seconds, and ended now or some seconds ago: a span of it."""
    span = SPAN.get()
    if span is not None and span.recording:
        span.child(name, ago_s=ago_s + seconds).end(ago_s=ago_s)


@contextmanager
def entry_span(place: int) -> Iterator[Callable[[str | None], None]]:
    """A span for an entry of a batch, which this task alone works on; gives what is told how it ended."""
    whole = SPAN.get()
    if whole is None or not whole.recording or place >= _ENTRIES:
        SPAN.set(whole and whole.bare())
        yield lambda error: None
        return
    span = whole.child("entry")
    SPAN.set(span)
    span.note("mrse.batch.place", place)
    how: str | None = "CancelledError"

    def ended(error: str | None) -> None:
        nonlocal how
        how = error

    try:
        yield ended
    finally:
        span.end(how)
