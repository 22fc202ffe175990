"""Replaces all workers, one after another, as SIGHUP asks: a new one accepts before an old one goes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from service.process.watched import Slot, Watched
from service.reload_retry import ReloadRetry

log = logging.getLogger("mrse.service")

#: How long a new worker may load. Meanwhile the one that it is to replace serves.
_LOAD_S = 600.0


class Replacing:
    """One reload after another, each of all workers or none that follows a failure.

    Args:
        slots: the places of the workers.
        begin: starts a worker; None where no process could be started.
        retire: tells a worker to end, for another has its place.
        reloaded: told how a reload ended: ``taken`` by all workers, or ``refused``.
        again: whether one that was refused is tried again by itself, as `ReloadRetry` says.

    Attributes:
        successor: the worker that is to replace the next one, until it does.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        begin: Callable[[], Watched | None],
        retire: Callable[[Watched], None],
        reloaded: Callable[[str], None] = lambda result: None,
        *,
        again: bool = False,
    ) -> None:
        self._slots = slots
        self._begin = begin
        self._retire = retire
        self._reloaded = reloaded
        self._asked = False
        self._retry = ReloadRetry() if again else None
        #: Those whose worker is to be replaced; the first one is next.
        self._left: list[Slot] = []
        self.successor: Watched | None = None

    def ask(self) -> None:
        """Replace all, once that is possible and what is under way has ended."""
        self._asked = True
        if self._retry is not None:
            self._retry.over()

    def step(self, now: float, *, may_begin: bool, may_start: bool) -> None:
        """Do what is due.

        Args:
            now: seconds, of the supervisor's clock.
            may_begin: whether the workers can be replaced yet.
            may_start: whether another worker may be started; not while the one before is leaving.
        """
        if self._retry is not None and self._retry.is_due(now):
            self._asked = True
        if self._asked and not self._left and may_begin:
            self._asked = False
            self._left = list(self._slots)
            log.info("reloading: the workers are replaced one after another")
        if not self._left:
            return
        new = self.successor
        if new is None:
            if may_start:
                self.successor = self._begin()
                if self.successor is None:
                    self._give_up("no process could be started", now)
        elif new.accepts:
            slot = self._left.pop(0)
            old, slot.worker, slot.deaths, self.successor = slot.worker, new, 0, None
            if old is not None:
                self._retire(old)
            if not self._left:
                log.info("reloaded", extra={"workers": len(self._slots)})
                self._reloaded("taken")
                if self._retry is not None:
                    self._retry.over()
        elif now - new.since > _LOAD_S:
            new.failure = f"it was not loaded within {_LOAD_S:g} s"
            new.process.kill()

    def ended(self, worker: Watched, reason: str, now: float, *, stopping: bool) -> None:
        """Note that a worker has ended; if it was the successor, the others stay as they are."""
        if worker is self.successor:
            self.successor = None
            if not stopping:
                self._give_up(reason, now)

    def _give_up(self, reason: str, now: float) -> None:
        self._reloaded("refused")
        if self._retry is not None:
            self._retry.refused(now)
        all_of_them = len(self._slots)
        done, self._left = all_of_them - len(self._left), []
        if done:
            log.error(
                "reloaded %d of %d workers, the others stay as they were: %s", done, all_of_them, reason
            )
        else:
            log.error("not reloaded, everything stays as it was: %s", reason)
