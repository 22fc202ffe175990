"""Watches over several workers: starts them, starts them again when they end, replaces and ends them.

It sleeps until something happens: a signal, a word from a worker, the end of one. It loads nothing of what
workers load, so it stays small. What it knows of one worker is in `watched`, how all are replaced is in
`replacing`.
"""

from __future__ import annotations

import logging
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from service.errors import StartError
from service.process.replacing import Replacing
from service.process.watched import Slot, Watched

if TYPE_CHECKING:  # what workers load
    from service.process.worker import Order

log = logging.getLogger("mrse.service")

#: A worker that accepted for so long was sound: the next one starts at once.
_STEADY_S = 60.0
#: Workers that may end, each before any was loaded, until the service gives up.
_TRIES = 4
#: Every so often each worker should have said that it lives.
_LOOK_S = 5.0
#: Above what a worker may take to end, before it is killed.
_GRACE_S = 5.0

#: Starts a worker: its number, whether it accepts before it is loaded, and the settings that it goes by, as
#: another told them; None: those that it reads. Gives the process and its pipe.
Start = Callable[[int, bool, bytes | None], tuple[BaseProcess, Connection]]


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
        reloaded: told how a reload ended, ``taken`` or ``refused``.
        again: whether a reload that was refused is tried again by itself.
    """

    def __init__(
        self,
        start: Start,
        sockets: Sequence[socket.socket],
        workers: int,
        leave_s: float,
        on_end: Callable[[int, str | None], None],
        clock: Callable[[], float] = time.monotonic,
        reloaded: Callable[[str], None] = lambda result: None,
        again: bool = False,
    ) -> None:
        self._start = start
        self._sockets = sockets
        self._slots = [Slot() for _ in range(workers)]
        self._leave_s = leave_s + _GRACE_S
        self._on_end = on_end
        self._clock = clock
        #: Told to end.
        self._leaving: list[Watched] = []
        self._replacing = Replacing(
            self._slots,
            lambda: self._begin(early=False),
            lambda worker: self._let_go(worker, "retire"),
            reloaded,
            again=again,
        )
        #: A worker has been loaded; the service is about to end.
        self._up = self._stopping = False
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
        if not self._stopping:
            leaving = any(each.ends_by is not None for each in self._leaving)
            self._replacing.step(self._clock(), may_begin=self._up, may_start=not leaving)
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

    def _all(self) -> list[Watched]:
        found = [slot.worker for slot in self._slots if slot.worker is not None]
        successor = self._replacing.successor
        return found + self._leaving + ([] if successor is None else [successor])

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
                early = not self._up and slot is self._slots[0]
                slot.worker = self._begin(early=early, settings=slot.settings)
                if slot.worker is None:
                    slot.pause(self._clock())

    def _begin(self, *, early: bool, settings: bytes | None = None) -> Watched | None:
        used = {each.number for each in self._all()}
        number = next(number for number in range(len(used) + 1) if number not in used)
        try:
            process, pipe = self._start(number, early, settings)
        except (OSError, EOFError) as error:  # no process or descriptor to be had
            log.error("cannot start a worker: %r", error)
            self._count_death(None, f"no process could be started: {error!r}")
            return None
        log.info("worker started", extra={"pid": process.pid, "number": number})
        return Watched(process, pipe, number, self._clock())

    # What workers say, and how they end

    def _hear(self, worker: Watched) -> None:
        if worker.hear(self._clock()):
            self._let_accept(worker)

    def _let_accept(self, worker: Watched) -> None:
        """Let loaded workers accept, but none before the first, which accepts early, is loaded."""
        if not self._up and worker is not self._slots[0].worker:
            return
        self._up = True
        for each in self._all():
            if each.loaded and not each.may_accept:
                each.may_accept = True
                each.tell("accept")

    def _bury(self, worker: Watched) -> None:
        worker.process.join()
        if not worker.pipe.closed:
            self._hear(worker)  # its last words
            worker.pipe.close()
        asked = worker.ends_by is not None
        reason, how = worker.how_it_ended()
        tried = worker is self._replacing.successor  # nobody has lost it: the reload is refused
        self._on_end(worker.number, None if asked or tried else how)
        lived_s = round(self._clock() - worker.since, 1)
        extra: dict[str, Any] = {"pid": worker.process.pid, "reason": reason, "after_s": lived_s}
        if worker in self._leaving:
            self._leaving.remove(worker)
        self._replacing.ended(worker, reason, self._clock(), stopping=self._stopping)
        slot = next((slot for slot in self._slots if slot.worker is worker), None)
        if slot is not None:
            slot.lose(worker)
        if asked:
            log.info("worker ended", extra=extra)
        elif slot is not None:
            if worker.accepts and worker.loaded and lived_s >= _STEADY_S:
                slot.deaths, slot.pause_until = 0, self._clock()
                again_s = 0.0
            else:
                again_s = slot.pause(self._clock())
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
            if each.hangs and each.ends_by is None:
                each.failure = None
                log.error("worker killed: it hangs", extra={"pid": each.process.pid})
                each.process.kill()

    # Ending

    def _take_signal(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._replacing.ask()
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
                if worker is self._replacing.successor:
                    self._replacing.successor = None
            else:  # it holds nothing that could be lost
                worker.ends_by = self._clock() + _GRACE_S
                worker.process.kill()

    def _let_go(self, worker: Watched, order: Order) -> None:
        if worker.ends_by is not None and order == "retire":
            return
        worker.ends_by = self._clock() + self._leave_s
        worker.tell(order)
        if worker not in self._leaving and all(slot.worker is not worker for slot in self._slots):
            self._leaving.append(worker)

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
