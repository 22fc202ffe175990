"""Whether the canary does harm: what it does more often, or takes longer for, than the control."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from cli.release.exposition import Counts
from cli.release.plan import Canary

#: Standard errors from which on a difference is no chance, though it is looked at again and again.
_SURE = 3.0
#: Below so many bad answers nothing is sure.
_FEWEST = 5
#: The same of latency, where slow answers come in swarms; and at the end of the watch, when it counts.
_SURE_LATENCY, _LIKELY = 6.0, 2.0
_QUANTILE = 0.95
P95 = "p95_ms"
State = Literal["fine", "over", "tripped", "unknown"]


@dataclass(frozen=True)
class Guardrail:
    """One thing that must not be worse.

    Attributes:
        name: ``errors``, ``empty``, ``partial`` or ``p95_ms``.
        control, canary: shares, or milliseconds; NaN where nothing is known.
        most: what the canary's may be.
        state: ``tripped`` is surely worse, ``over`` too much at the end of the watch.
    """

    name: str
    control: float
    canary: float
    most: float
    state: State

    def __str__(self) -> str:
        if self.name == P95:
            return f"p95 {self.canary:.1f} ms, control {self.control:.1f}, at most {self.most:.1f}"
        return f"{self.name} {self.canary:.2%}, control {self.control:.2%}, at most {self.most:.2%}"


def judge(
    control: Counts, canary: Counts, settled: tuple[Counts, Counts] | None, limits: Canary
) -> list[Guardrail]:
    """Compare the canary with the control.

    Args:
        control, canary: what they counted since the canary is there.
        settled: the same since its caches are warm; None before that.
        limits: how much worse is accepted.
    """
    found = [
        _share("errors", control.failed, control.requests, canary.failed, canary.requests, limits.errors),
        _share("empty", control.empty, control.answered, canary.empty, canary.answered, limits.empty),
        _share("partial", control.partial, control.answered, canary.partial, canary.answered, limits.partial),
    ]
    return [*found, _latency(settled, limits)]


def _share(name: str, bad: float, all_: float, its_bad: float, its_all: float, margin: float) -> Guardrail:
    rate = bad / all_ if all_ else 0.0
    if not its_all:
        return Guardrail(name, rate, float("nan"), rate + margin, "unknown")
    its = its_bad / its_all
    gap = its - rate
    if gap <= margin:
        return Guardrail(name, rate, its, rate + margin, "fine")
    pooled = (bad + its_bad) / (all_ + its_all)
    error = math.sqrt(pooled * (1 - pooled) * (1 / its_all + (1 / all_ if all_ else 0.0)))
    sure = its_bad >= _FEWEST and gap >= _SURE * error
    return Guardrail(name, rate, its, rate + margin, "tripped" if sure else "over")


def _latency(settled: tuple[Counts, Counts] | None, limits: Canary) -> Guardrail:
    """The canary's p95: over the bound where surely more than a twentieth of its answers took longer."""
    control, canary = settled or (None, None)
    one = math.nan if control is None else 1000 * control.quantile(_QUANTILE)
    other = math.nan if canary is None else 1000 * canary.quantile(_QUANTILE)
    most = limits.slow_from_ms if math.isnan(one) else max(limits.slow_from_ms, limits.slower * one)
    if canary is None or math.isnan(other):
        return Guardrail(P95, one, other, most, "unknown")
    slow = 1 - _QUANTILE
    error = math.sqrt(slow * (1 - slow) / canary.timed)
    errors = (canary.slower_than(most / 1000) - slow) / error
    state: State = "tripped" if errors >= _SURE_LATENCY else "over" if errors >= _LIKELY else "fine"
    return Guardrail(P95, one, other, most, state)
