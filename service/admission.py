"""Admission: a bound on what is worked on at once, and less work for each before any is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from service.errors import Overloaded
from service.settings import Limits


@dataclass(frozen=True, slots=True)
class Pressure:
    """What a request must do without."""

    no_i2i: bool = False
    #: Share of k that is still looked for.
    k_share: float = 1.0
    no_portrait: bool = False


NO_PRESSURE = Pressure()


class Ticket:
    """The right to work; give it back by leaving the ``with`` block."""

    __slots__ = ("_admission", "_places", "pressure")

    def __init__(self, admission: Admission, pressure: Pressure) -> None:
        self._admission = admission
        self._places = 1
        self.pressure = pressure

    def widen(self, places: int) -> None:
        """Take as many places in all, for the entries of a batch.

        Raises:
            Overloaded: there are not so many.
        """
        self._admission.take(places - self._places)
        self._places = places
        self.pressure = self._admission.pressure()

    def __enter__(self) -> Ticket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._admission.give_back(self._places)


class Admission:
    """Counts what is in flight. For one event loop, not for threads."""

    def __init__(self, limits: Limits, refused: Callable[[], None] = lambda: None) -> None:
        self._limit = limits.in_flight
        self._refused = refused
        self._levels = (
            (limits.shed_portrait_at, Pressure(True, limits.shed_k, True)),
            (limits.shed_candidates_at, Pressure(True, limits.shed_k, False)),
            (limits.shed_i2i_at, Pressure(True, 1.0, False)),
        )
        self.in_flight = 0

    def enter(self) -> Ticket:
        """Take a place.

        Raises:
            Overloaded: none is free.
        """
        self.take(1)
        return Ticket(self, self.pressure())

    def pressure(self) -> Pressure:
        """What to do without at present."""
        load = self.in_flight / self._limit
        for level, pressure in self._levels:
            if load > level:
                return pressure
        return NO_PRESSURE

    def take(self, places: int) -> None:
        """Count places as taken, all or none."""
        if self.in_flight + places > self._limit:
            self._refused()
            raise Overloaded("too many requests are being worked on")
        self.in_flight += places

    def give_back(self, places: int) -> None:
        """Count places as free again."""
        self.in_flight -= places
