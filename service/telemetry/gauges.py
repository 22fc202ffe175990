"""Gauges that are read when the metrics are noted, rather than set where something happens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal, TypeVar

from prometheus_client import Gauge

V = TypeVar("V", bound=str)


class Gauges:
    """What to read, and the gauges that tell it.

    Args:
        make: makes a gauge of a name, a help text and labels.
    """

    def __init__(self, make: Callable[..., Gauge]) -> None:
        self._make = make
        self._reads: list[tuple[Gauge, Callable[[], float]]] = []
        #: Make gauges when they are noted first: one that is made says 0 to the workers that share.
        self._unmade: list[Callable[[], list[tuple[Gauge, Callable[[], float]]]]] = []

    def gauge(
        self,
        name: str,
        help_text: str,
        read: Callable[[], float],
        across: Literal["livesum", "livemin", "livemax", "liveall"] = "livesum",
    ) -> None:
        """Register a value that is read by `note`; of several workers, their sum, least, most, or all."""
        make = partial(self._make, name, help_text, multiprocess_mode=across)
        self._unmade.append(lambda: [(make(), read)])

    def gauges(
        self, name: str, help_text: str, label: str, values: Iterable[V], read: Callable[[V], float]
    ) -> None:
        """As `gauge`, one for each value of a label; of several living workers, the greatest."""

        def make() -> list[tuple[Gauge, Callable[[], float]]]:
            gauge = self._make(name, help_text, [label], multiprocess_mode="livemax")
            return [(gauge.labels(value), partial(read, value)) for value in values]

        self._unmade.append(make)

    def note(self) -> None:
        """Read all of them."""
        while self._unmade:
            self._reads += self._unmade.pop(0)()
        for gauge, read in self._reads:
            gauge.set(read())
