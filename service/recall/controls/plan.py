"""What the controls are to do to one request, and what became of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from service.recall.controls.asked import NONE, Controls, Wanted
from service.recall.controls.rulebook import NO_RULE, Ruling
from service.recall.diversity import WIDER
from service.recall.routes.outcome import Item, RouteOutcome
from service.recall.settings import Recall

Outcomes = Mapping[str, RouteOutcome]
#: Candidates that a route is asked for at most, for requests of fewer.
MOST_CANDIDATES = 10_000


class Plan(NamedTuple):
    """What holds for one request: ``k`` items are wanted."""

    k: int
    wanted: Wanted
    ruling: Ruling

    @property
    def candidates(self) -> int:
        """How many items each route is asked for, so that enough are left."""
        wider = WIDER if self.wanted.boosts or self.wanted.diversity else 1.0
        asked = math.ceil(self.k * wider) + len(self.ruling.bans)
        return max(self.k, min(asked, MOST_CANDIDATES))


@dataclass(slots=True)
class Applied:
    """What came of it.

    Attributes:
        items: the answer.
        outcomes: of the routes, with what they found when they were asked again.
        explain: how each control fared.
        used: the controls that changed or told something: a label of a metric.
        degraded: what was left out, words of `service.degraded`.
    """

    items: Sequence[Item]
    outcomes: Outcomes
    explain: dict[str, Any] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)
    degraded: list[str] = field(default_factory=list)

    def tell(self, word: str) -> None:
        """Note what was left out, once."""
        if word not in self.degraded:
            self.degraded.append(word)


def plan(k: int, controls: Controls, options: Recall, ruling: Ruling) -> Plan | None:
    """What is to be done; None where no control asks for anything, as for nearly all requests."""
    if controls is NONE and ruling is NO_RULE and not options.boosts and options.diversity is None:
        return None
    wanted = controls.wanted(options)
    return Plan(k, wanted, ruling) if wanted or ruling.pins or ruling.bans else None
