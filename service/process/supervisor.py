"""Watches over several workers: starts them, starts them again when they end, replaces and ends them.

It sleeps until something happens: a signal, a word from a worker, the end of one. It loads nothing of what
workers load, so it stays small.
"""

from __future__ import annotations

import logging
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from service.errors import StartError

if TYPE_CHECKING:  # what workers load
    from service.process.worker import Order, Report

log = logging.getLogger("mrse.service")

#: A worker that accepted for so long was sound: the next one starts at once.
_STEADY_S = 60.0
#: Pause before a worker is started again; it doubles with each that ends early.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
#: Workers that may end, each before any was loaded, until the service gives up.
_TRIES = 4
#: How long a worker of a reload may load. Meanwhile the one that it is to replace serves.
_LOAD_S = 600.0
#: Every so often each worker must have said that it lives; so many times it may have not, then it hangs.
_LOOK_S, _LOOKS = 5.0, 12
#: Above what a worker may take to end, before it is killed.
_GRACE_S = 5.0

#: Starts a worker: its number, and whether it accepts before it is loaded. Gives the process and its pipe.
Start = Callable[[int, bool], tuple[BaseProcess, Connection]]


@dataclass(eq=False)
class _Worker:
    """A process that has been started; ``ends_by`` is when it is killed, if it was told to end."""

    process: BaseProcess
    pipe: Connection
    number: int
    since: float
    loaded: bool = False
    may_accept: bool = False
    accepts: bool = False
    quiet: int = 0
    reasons: list[str] = field(default_factory=lambda: ["starting"])
    failure: str | None = None
    ends_by: float | None = None


@dataclass(eq=False)
class _Slot:
    """A place for a worker that accepts; ``pause_until`` is when its next worker is started."""

    worker: _Worker | None = None
    deaths: int = 0
    pause_until: float = 0.0


class Supervisor:
    """Keeps so many workers running.

    Args:
        start: starts one.
        sockets: what they listen on; closed here when the service ends.
        workers: how many.
        leave_s: seconds that a worker may take to end.
        on_end: told the number of a worker that has ended, and how it ended where nobody asked for it:
            ``signal``, ``exit``, ``failed`` (it said why) or ``hung``.
        clock: seconds.
    """

    def __init__(
        self,
        start: Start,
        sockets: Sequence[socket.socket],
        workers: int,
        leave_s: float,
        on_end: Callable[[int, str | None], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._start = start
        self._sockets = sockets
        self._slots = [_Slot() for _ in range(workers)]
        self._leave_s = leave_s + _GRACE_S
        self._on_end = on_end
        self._clock = clock
        #: Told to end.
        self._leaving: list[_Worker] = []
        #: Slots whose worker is to be replaced, and the worker that is to replace the first one's.
        self._to_replace: list[_Slot] = []
        self._successor: _Worker | None = None
        self._up = False
        self._ends = self._stopping = self._hung_up = False
        self._failure: str | None = None
        self._deaths = 0
        self._next_look = 0.0
        self._signals: list[int] = []

    def reasons(self) -> list[str]:
        """What keeps those that accept from answering; something where none accepts. From any thread."""
        if self._stopping:
            return ["the service is about to end"]
        workers = [slot.worker for slot in self._slots]
        accepting = [each for each in workers if each is not None and each.accepts]
        return sorted({why for each in accepting for why in each.reasons}) if accepting else ["starting"]

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM.

        Raises:
            StartError: no worker came up; the message says why.
        """
        self._next_look = self._clock() + _LOOK_S
        with self._woken_by_signals() as woken:
            try:
                while not self._step(woken):
                    pass
            finally:
                for each in self._all():  # only where this loop failed
                    each.process.kill()
        if self._failure is not None:
            raise StartError(self._failure)

    def _step(self, woken: socket.socket) -> bool:
        """Do what is due, then sleep until something happens; whether all is over."""
        if self._stopping and not self._all():
            return True
        self._start_due()
        self._replace()
        self._look()
        things: list[Any] = [woken, *(each.process.sentinel for each in self._all())]
        things += [each.pipe for each in self._all() if not each.pipe.closed]
        happened = wait(things, timeout=max(0.0, self._due() - self._clock()))
        if woken in happened:
            with suppress(BlockingIOError):
                woken.recv(4096)
        while self._signals:
            self._take_signal(self._signals.pop(0))
        for each in self._all():
            if each.pipe in happened:
                self._hear(each)
        for each in self._all():
            if not each.process.is_alive():
                self._bury(each)
        return False

    def _all(self) -> list[_Worker]:
        found = [slot.worker for slot in self._slots if slot.worker is not None]
        return found + self._leaving + ([] if self._successor is None else [self._successor])

    def _due(self) -> float:
        """When something is to be done, even if nothing happens until then."""
        times: list[float] = [
            self._next_look,
            *(each.ends_by for each in self._all() if each.ends_by is not None),
        ]
        if not self._stopping:
            times += [slot.pause_until for slot in self._slots if slot.worker is None]
        return min(times)

    # Starting

    def _start_due(self) -> None:
        for slot in self._slots:
            if slot.worker is None and not self._stopping and self._clock() >= slot.pause_until:
                slot.worker = self._begin(early=not self._up and slot is self._slots[0])
                if slot.worker is None:
                    self._pause(slot)

    def _begin(self, *, early: bool) -> _Worker | None:
        used = {each.number for each in self._all()}
        number = next(number for number in range(len(used) + 1) if number not in used)
        try:
            process, pipe = self._start(number, early)
        except (OSError, EOFError) as error:  # no process or descriptor to be had
            log.error("cannot start a worker: %r", error)
            self._count_death(None, f"no process could be started: {error!r}")
            return None
        log.info("worker started", extra={"pid": process.pid, "number": number})
        return _Worker(process, pipe, number, self._clock())

    def _pause(self, slot: _Slot) -> float:
        """Wait with the slot's next worker, longer each time; gives the seconds."""
        pause = min(_FIRST_PAUSE_S * 2.0**slot.deaths, _LONGEST_PAUSE_S)
        slot.deaths = min(slot.deaths + 1, 16)
        slot.pause_until = self._clock() + pause
        return pause

    # What workers say, and how they end

    def _hear(self, worker: _Worker) -> None:
        try:
            while worker.pipe.poll():
                told: Report = worker.pipe.recv()
                what, reasons = told
                worker.quiet = 0
                if what == "failed":
                    worker.failure = "; ".join(reasons)
                elif what == "accepts":
                    worker.accepts, worker.since = True, self._clock()
                elif what == "loaded":
                    worker.loaded = True
                    self._let_accept(worker)
                else:
                    worker.reasons = reasons
        except (EOFError, OSError):
            worker.pipe.close()  # its end follows

    def _let_accept(self, worker: _Worker) -> None:
        """Let loaded workers accept, but none before the first, which accepts early, is loaded."""
        if not self._up and worker is not self._slots[0].worker:
            return
        self._up = True
        for each in self._all():
            if each.loaded and not each.may_accept:
                each.may_accept = True
                self._tell(each, "accept")

    def _bury(self, worker: _Worker) -> None:
        worker.process.join()
        if not worker.pipe.closed:
            self._hear(worker)  # its last words
            worker.pipe.close()
        asked = worker.ends_by is not None
        reason, how = _how(worker)
        self._on_end(worker.number, None if asked else how)
        lived_s = round(self._clock() - worker.since, 1)
        extra: dict[str, Any] = {"pid": worker.process.pid, "reason": reason, "after_s": lived_s}
        if worker in self._leaving:
            self._leaving.remove(worker)
        if worker is self._successor:
            self._successor = None
            if not self._stopping:
                self._give_up_replacing(reason)
        slot = next((slot for slot in self._slots if slot.worker is worker), None)
        if slot is not None:
            slot.worker = None
        if asked:
            log.info("worker ended", extra=extra)
        elif slot is not None:
            if worker.accepts and worker.loaded and lived_s >= _STEADY_S:
                slot.deaths, slot.pause_until = 0, self._clock()
                again_s = 0.0
            else:
                again_s = self._pause(slot)
            log.error("worker ended: %s", reason, extra=extra | {"again_in_s": again_s})
            self._count_death(worker.failure, reason)

    def _count_death(self, failure: str | None, reason: str) -> None:
        """Give up where no worker ever came up: at once if one said why, or after some tries."""
        self._deaths += 1
        if not self._up and not self._stopping and (failure is not None or self._deaths >= _TRIES):
            self._failure = failure or f"no worker came up; the last one ended: {reason}"
            self._stop("quit")

    def _look(self) -> None:
        """Kill workers that take too long to end, or whose event loop stands still."""
        now = self._clock()
        for each in self._all():
            if each.ends_by is not None and now >= each.ends_by:
                log.error("worker killed: it took too long to end", extra={"pid": each.process.pid})
                each.process.kill()
                each.ends_by = now + _GRACE_S
        # Counted, so that a machine or supervisor that slept for an hour does not look like hung workers.
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_S
        for each in self._all():
            each.quiet += 1
            if each.quiet > _LOOKS and each.ends_by is None:
                each.failure = None
                log.error("worker killed: it hangs", extra={"pid": each.process.pid})
                each.process.kill()

    # Replacing all

    def _replace(self) -> None:
        """Replace one worker after another; the next begins when the one before has ended."""
        if self._hung_up and not self._to_replace and self._up and not self._stopping:
            self._hung_up = False
            self._to_replace = list(self._slots)
            log.info("reloading: the workers are replaced one after another")
        if not self._to_replace or self._stopping:
            return
        new = self._successor
        if new is None:
            if not any(each.ends_by is not None for each in self._leaving):
                self._successor = self._begin(early=False)
                if self._successor is None:
                    self._give_up_replacing("no process could be started")
        elif new.accepts:
            slot = self._to_replace.pop(0)
            old, slot.worker, slot.deaths, self._successor = slot.worker, new, 0, None
            if old is not None:
                self._let_go(old, "retire")
            if not self._to_replace:
                log.info("reloaded", extra={"workers": len(self._slots)})
        elif self._clock() - new.since > _LOAD_S:
            new.failure = f"it was not loaded within {_LOAD_S:g} s"
            new.process.kill()

    def _give_up_replacing(self, reason: str) -> None:
        done = len(self._slots) - len(self._to_replace)
        self._to_replace = []
        if done:
            log.error(
                "reloaded %d of %d workers, the others stay as they were: %s", done, len(self._slots), reason
            )
        else:
            log.error("not reloaded, everything stays as it was: %s", reason)

    # Ending

    def _take_signal(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._hung_up = True
        elif not self._stopping:
            log.info("ending on %s", signal.Signals(number).name)
            self._stop("quit" if number == signal.SIGINT else "leave")
        else:
            for each in self._all():
                each.process.kill()

    def _stop(self, order: Order) -> None:
        self._stopping = True
        for each in self._sockets:
            each.close()  # so that the last worker that closes its own ends the listening
        for worker in self._all():
            if worker.accepts and worker.loaded:
                self._let_go(worker, order)
                if worker is self._successor:
                    self._successor = None
            else:  # it holds nothing that could be lost
                worker.ends_by = self._clock() + _GRACE_S
                worker.process.kill()

    def _let_go(self, worker: _Worker, order: Order) -> None:
        if worker.ends_by is not None and order == "retire":
            return
        worker.ends_by = self._clock() + self._leave_s
        self._tell(worker, order)
        if worker not in self._leaving and all(slot.worker is not worker for slot in self._slots):
            self._leaving.append(worker)

    @staticmethod
    def _tell(worker: _Worker, order: Order) -> None:
        with suppress(OSError):  # it has ended, which is heard elsewhere
            worker.pipe.send(order)

    @contextmanager
    def _woken_by_signals(self) -> Any:
        """Note signals, and wake from the sleep by the socket that this yields."""
        woken, waker = socket.socketpair()
        woken.setblocking(False)
        waker.setblocking(False)
        heard = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {
            each: signal.signal(each, lambda number, frame: self._signals.append(number)) for each in heard
        }
        previous = signal.set_wakeup_fd(waker.fileno())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # one may have waited for this
        try:
            yield woken
        finally:
            signal.set_wakeup_fd(previous)
            for number, handler in before.items():
                signal.signal(number, signal.SIG_IGN if number == signal.SIGHUP else handler)
            woken.close()
            waker.close()


def _how(worker: _Worker) -> tuple[str, str]:
    """How a worker ended: for the log, and as a label."""
    if worker.failure is not None:
        return worker.failure, "failed"
    if worker.quiet > _LOOKS:
        return "it hung", "hung"
    code = worker.process.exitcode or 0
    if code >= 0:
        return f"exit code {code}", "exit"
    with suppress(ValueError):
        return f"signal {signal.Signals(-code).name}", "signal"
    return f"signal {-code}", "signal"
