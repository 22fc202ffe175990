"""Admission: bounds the requests that are worked on at once, and sheds load before any is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from service.errors import Overloaded
from service.settings import Limits


@dataclass(frozen=True, slots=True)
class LoadShedding:
    """What a request does without, by the load when it came."""

    #: Share of ``limits.in_flight`` that is taken. A route is left out where its ``shed_at`` is lower.
    load: float
    #: Share of k that is still looked for.
    k_share: float
    no_portrait: bool


class Ticket:
    """The right to be worked on; leaving the ``with`` block gives it back."""

    __slots__ = ("_admission", "_places", "shedding")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._places = 0
        self.widen(1)

    def widen(self, places: int) -> None:
        """Take this many places in all, one for each entry of a batch.

        Raises:
            Overloaded: not so many are free.
        """
        self.shedding = self._admission.take(places - self._places)
        self._places = places

    def __enter__(self) -> Ticket:
        return self

    def __exit__(self, *error: object) -> None:
        self._admission.in_flight -= self._places


class Admission:
    """Counts the requests in flight. For one event loop, not for threads."""

    def __init__(self, limits: Limits, refused: Callable[[], None]) -> None:
        self._limits = limits
        self._refused = refused
        self.in_flight = 0

    def enter(self) -> Ticket:
        """Take a place.

        Raises:
            Overloaded: none is free.
        """
        return Ticket(self)

    def take(self, places: int) -> LoadShedding:
        """Count places as taken, all or none; what a request that takes them does without."""
        limits = self._limits
        if self.in_flight + places > limits.in_flight:
            self._refused()
            raise Overloaded("too many requests are being worked on")
        self.in_flight += places
        load = self.in_flight / limits.in_flight
        k_share = limits.shed_k if load > limits.shed_candidates_at else 1.0
        return LoadShedding(load, k_share, load > limits.shed_portrait_at)
