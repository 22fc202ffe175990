"""A worker as its supervisor sees it: its process, what it has said, and how it ended."""

from __future__ import annotations

import signal
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what workers load
    from service.process.worker import Order, Report

#: Looks at which it may have said nothing since the last one; after more it hangs.
LOOKS = 12
#: Pause before a worker is started again; it doubles with each that ends early.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0


@dataclass(eq=False)
class Watched:
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
    #: The settings that it read, as it told them; None until then.
    settings: bytes | None = None

    @property
    def hangs(self) -> bool:
        """Whether it has said nothing for too long."""
        return self.quiet > LOOKS

    def tell(self, order: Order) -> None:
        """Say what it is to do."""
        with suppress(OSError):  # it has ended, which is heard elsewhere
            self.pipe.send(order)

    def hear(self, now: float) -> bool:
        """Take in what it has said by ``now``; whether it said that it is loaded."""
        loaded = False
        try:
            while self.pipe.poll():
                told: Report = self.pipe.recv()
                what, reasons = told
                self.quiet = 0
                if isinstance(reasons, bytes):
                    self.settings = reasons
                elif what == "failed":
                    self.failure = "; ".join(reasons)
                elif what == "accepts":
                    self.accepts, self.since = True, now
                elif what == "loaded":
                    self.loaded = loaded = True
                else:
                    self.reasons = reasons
        except (EOFError, OSError):
            self.pipe.close()  # its end follows
        return loaded

    def how_it_ended(self) -> tuple[str, str]:
        """For the log, and as a label."""
        if self.failure is not None:
            return self.failure, "failed"
        if self.hangs:
            return "it hung", "hung"
        code = self.process.exitcode or 0
        if code >= 0:
            return f"exit code {code}", "exit"
        with suppress(ValueError):
            return f"signal {signal.Signals(-code).name}", "signal"
        return f"signal {-code}", "signal"


@dataclass(eq=False)
class Slot:
    """A place for a worker that accepts; ``pause_until`` is when its next worker is started.

    ``settings`` are those of the last one that accepted: what the next one goes by. A file that was broken
    since, or that a reload refused, keeps no worker from coming back.
    """

    worker: Watched | None = None
    deaths: int = 0
    pause_until: float = 0.0
    settings: bytes | None = None

    def lose(self, worker: Watched) -> None:
        """Note that its worker has ended."""
        self.worker = None
        if worker.accepts and worker.settings is not None:
            self.settings = worker.settings

    def pause(self, now: float) -> float:
        """Wait with the next worker, longer each time; gives the seconds."""
        seconds = min(FIRST_PAUSE_S * 2.0**self.deaths, LONGEST_PAUSE_S)
        self.deaths = min(self.deaths + 1, 16)
        self.pause_until = now + seconds
        return seconds
