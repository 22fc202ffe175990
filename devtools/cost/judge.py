"""What a request costs a service that runs in another process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from devtools.cost.client import Client
from devtools.cost.requests import Recipe, Request
from devtools.cost.watch import Watch, reset_peak, resident_bytes

LONGEST_TURN_S = 0.050
GROWTH = 10
#: What any request may gain, whatever its size: the largest answer, and what allocators keep back.
FLOOR_BYTES = 32 << 20
#: A cost that breaks a bound is measured so often to be believed: it may have loaded what is loaded on first
#: use, or the machine may be busy.
_TRIES = 3
_LIVE = Request("GET", b"/livez", {}, b"")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one request cost."""

    recipe: Recipe
    status: int
    size: int
    turn_s: float
    grown: int

    @property
    def score(self) -> float:
        """By how much the nearest bound is used; above 1 it is broken."""
        return max(self.turn_s / LONGEST_TURN_S, self.grown / max(FLOOR_BYTES, GROWTH * self.size))

    @property
    def turned_away(self) -> bool:
        """Whether there was no time for it, as on a machine that is busy with other work."""
        return self.status in (503, 504)

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        measured = {"status": self.status, "bytes": self.size, "turn_ms": round(self.turn_s * 1000, 2)}
        return {**measured, "grown_bytes": self.grown, "recipe": self.recipe.as_json()}


class Judge:
    """Sends requests one after another.

    Args:
        port: of the service.
        pid: of its process.
        watch: of its loop.
    """

    def __init__(self, port: int, pid: int, watch: Watch) -> None:
        self._client = Client(port)
        self._pid = pid
        self._watch = watch

    def cost(self, recipe: Recipe) -> Cost:
        """What a request costs: the least of some tries."""
        tried: list[Cost] = []
        request = recipe.request()
        while not tried or ((tried[-1].score > 1 or tried[-1].turned_away) and len(tried) < _TRIES):
            tried.append(self._once(recipe, request))
        return min(tried, key=lambda each: (each.turned_away, each.score))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _once(self, recipe: Recipe, request: Request) -> Cost:
        self._watch.reset()
        reset_peak(self._pid)
        before = resident_bytes(self._pid)
        status = self._client.ask(request)
        self._client.ask(_LIVE)  # the turn that gave the answer has ended
        grown = resident_bytes(self._pid, peak=True) - before
        return Cost(recipe, status, request.size, self._watch.longest, grown)
