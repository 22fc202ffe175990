"""Makes events of exposures; a thread writes them. What does not fit is counted, never silent."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from redis.exceptions import RedisError

from service.errors import StartError
from service.exposures.event import Event, Exposure, event_of
from service.exposures.sinks import Sink, open_sink
from service.settings import Settings

log = logging.getLogger("mrse.exposures")

#: Seconds between two writes.
_EVERY_S = 0.2
#: Events that are written at once, so that the thread lets others run between.
_AT_ONCE = 64
#: Seconds between two lines about failures.
_SAY_EVERY_S = 10.0
#: Seconds that the last events may take at the end.
_LAST_S = 5.0
_FAULTS = (OSError, RedisError, ValueError)


class ExposureLog:
    """The log of one worker.

    Args:
        settings: the group ``exposures``, and ``redis.url``.
        count: told ``written``, ``dropped`` (too many waited) or ``failed`` (the sink did not take them), and
            how many; any thread.

    Raises:
        StartError: events cannot be written there.
    """

    def __init__(self, settings: Settings, count: Callable[[str, int], None]) -> None:
        knobs = settings.exposures
        self._count = count
        self._most = knobs.waiting_items
        self._key = "" if knobs.key is None else knobs.key.get_secret_value()
        self._lock = threading.Lock()
        self._queue: list[Event] = []
        self._waiting = 0
        self._ended = threading.Event()
        self._said = -_SAY_EVERY_S
        self._sink: Sink | None = open_sink(settings)
        self._thread: threading.Thread | None = None

    @property
    def on(self) -> bool:
        """Whether exposures are wanted."""
        return self._sink is not None

    def start(self) -> None:
        """Begin to write.

        Raises:
            StartError: the folder cannot be written to.
        """
        if self._sink is None:
            return
        try:
            self._sink.prepare()
        except OSError as error:
            raise StartError(f"exposures: {error.filename}: {error.strerror or error}") from error
        self._thread = threading.Thread(target=self._run, name="exposures", daemon=True)
        self._thread.start()

    def offer(self, exposure: Exposure) -> None:
        """Make an event of an exposure, or drop it where too many wait. By one thread alone."""
        cost = len(exposure.items) + 1
        if self._waiting + cost > self._most:
            self._count("dropped", 1)
            return
        try:
            event = event_of(exposure, self._key)
        except Exception:  # a fault of ours is no client's
            self._fail(1, "an unexpected error", trace=True)
            return
        with self._lock:
            self._queue.append(event)
            self._waiting += cost

    def close(self) -> None:
        """Write what waits, for some seconds at most, and end."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_LAST_S)
            if self._thread.is_alive():
                log.error("exposures were not all written", extra={"waiting": len(self._queue)})
            self._thread = None

    def _run(self) -> None:
        sink = self._sink
        assert sink is not None
        last = False
        while not last:
            last = self._ended.wait(_EVERY_S)
            with self._lock:
                taken, self._queue = self._queue, []
            try:
                for start in range(0, len(taken), _AT_ONCE):
                    self._write(sink, taken[start : start + _AT_ONCE])
                self._tend(sink, last)
            except Exception:  # a fault of ours ends neither the thread nor the counting
                self._fail(0, "an unexpected error", trace=True)

    def _write(self, sink: Sink, some: list[Event]) -> None:
        held = sink.held
        try:
            written = sink.write(some)
        except _FAULTS as error:
            self._fail(held + len(some) - sink.held, str(error))
        except Exception:
            self._fail(held + len(some) - sink.held, "an unexpected error", trace=True)
        else:
            self._count("written", written)
        finally:
            with self._lock:
                self._waiting -= sum(each.items + 1 for each in some)

    def _tend(self, sink: Sink, last: bool) -> None:
        held = sink.held
        try:
            written = sink.close() if last else sink.tend()
        except _FAULTS as error:
            self._fail(held, str(error))
        else:
            self._count("written", written)

    def _fail(self, many: int, why: str, *, trace: bool = False) -> None:
        self._count("failed", many)
        if time.monotonic() - self._said >= _SAY_EVERY_S:
            self._said = time.monotonic()
            log.error("exposures are not written: %s", why, exc_info=trace)
