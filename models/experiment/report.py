"""Each arm of an experiment against its control: what users did, what it cost, whether the split is sound."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from common.arrays import F64
from common.errors import MrseError
from common.progress import Progress, silent
from models.evaluation.statistics import Interval
from models.experiment.exposures import EVERY, Exposures, read_exposures
from models.experiment.interleaving import Interleaved, interleaved
from models.experiment.outcomes import Outcomes, read_outcomes
from models.experiment.statistics import Comparison, Sums, compare, share_p
from models.experiment.units import Units, shares_of

#: What users did, by name: a total over units and a weight. The first is the default of ``metric``.
METRICS = ("click rate", "cart rate", "order rate", "revenue per unit")
#: What must not become worse, and how much worse (relative) is still taken for no harm; *inferred*.
GUARDRAILS = {"latency": 0.1, "partial answers": 0.1, "empty answers": 0.1}
#: Below this the split is not what it should be: a false alarm in a thousand experiments.
SPLIT_P = 0.001
_DAY_S = 86_400.0
_LOOKS = 14
_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
Verdict = Literal["better", "worse", "open", "unknown"]


class ReportError(MrseError, ValueError):
    """There is nothing to report; the message says why."""


class Look(NamedTuple):
    """The lift as it stood at a time: days since the first exposure, at one look, at every look."""

    days: float
    lift: Interval
    always: Interval


@dataclass(frozen=True)
class Against:
    """An arm against the control.

    Attributes:
        arm: its name.
        metrics: what users did.
        guardrails: what must not become worse.
        tripped: guardrails that are surely worse.
        open: guardrails that may be worse than is taken for no harm.
        looks: the lift of the chosen metric day by day.
        overlap: share of the first items that both arms' answers to one query have in common; NaN where no
            query was answered by both.
        queries: that both answered.
        verdict: of the chosen metric, by the interval that holds at every look.
    """

    arm: str
    metrics: Mapping[str, Comparison]
    guardrails: Mapping[str, Comparison]
    tripped: list[str]
    open: list[str]
    looks: list[Look]
    overlap: float
    queries: int
    verdict: Verdict


@dataclass(frozen=True)
class Report:
    """What an experiment came to.

    Attributes:
        experiment: its name.
        control: the arm that others are compared to.
        metric, effect: what decides, and the lift that it is to be found with.
        units, answers: of each arm.
        shares: of the units that each arm was to get.
        split_p: chance of a split at least as far from the shares; `SPLIT_P` or less is a mismatch.
        split_units: units that the split is judged by.
        latency: quantiles of each arm, ms.
        against: each other arm against the control; none where teams drafted the answers of one arm.
        interleaved: whose items users chose, where teams drafted answers.
        notes: what a reader has to know.
        skipped: exposures and outcomes that take no part, by why.
    """

    experiment: str
    control: str
    metric: str
    effect: float
    units: Mapping[str, int]
    answers: Mapping[str, int]
    shares: Mapping[str, float]
    split_p: float
    split_units: int
    latency: Mapping[str, Mapping[str, float]]
    against: list[Against]
    notes: list[str]
    skipped: Mapping[str, int]
    interleaved: Interleaved | None = None

    @property
    def title(self) -> str:
        """What it is a report of."""
        return "Interleaving" if self.experiment == EVERY else f"Experiment {self.experiment}"

    @property
    def mismatch(self) -> bool:
        """Whether units are not split as they should be, so that no figure can be trusted."""
        return self.split_p <= SPLIT_P

    @property
    def sound(self) -> bool:
        """Whether the split is as it should be and no guardrail is tripped."""
        return not self.mismatch and not any(each.tripped for each in self.against)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: NaN becomes null."""
        plain: dict[str, Any] = _plain(asdict(self))
        for each, told in zip(self.against, plain["against"], strict=True):
            told["looks"] = [_plain({"days": look.days, **asdict(look.lift)}) for look in each.looks]
        return plain | {"mismatch": self.mismatch, "sound": self.sound}


def report(
    exposures: Path,
    outcomes: Path,
    *,
    experiment: str | None = None,
    control: str | None = None,
    metric: str = METRICS[0],
    effect: float = 0.03,
    window_days: float = 7.0,
    key: str = "",
    since: float = 0.0,
    progress: Progress = silent,
) -> Report:
    """Read an experiment.

    Args:
        exposures: the log, a file or a folder.
        outcomes: what users did.
        experiment: which; needed where several have more than one arm.
        control: the arm that others are compared to: ``control``, or the one with most units.
        metric: what decides, one of `METRICS`.
        effect: the relative lift that the experiment is to find.
        window_days: how long after its last answer a unit's outcomes count.
        key: ``exposures.key`` of the service.
        since: seconds since 1970; answers before take no part.
        progress: told how far it is.

    Raises:
        ExposuresError, OutcomesError: they cannot be read.
        ReportError: there is one arm alone, or none of this name.
    """
    if metric not in METRICS:
        raise ReportError(f"there is no metric {metric!r}; there are {', '.join(METRICS)}")
    seen = read_exposures(exposures, experiment, progress, since)
    did = read_outcomes(outcomes, seen, key)
    window_s = window_days * _DAY_S
    found = judge(seen, did, control=control, metric=metric, effect=effect, window_s=window_s)
    if not seen.drafted:
        return found
    return replace(found, interleaved=interleaved(exposures, seen, did, since, window_s))


def judge(
    seen: Exposures, did: Outcomes, *, control: str | None, metric: str, effect: float, window_s: float
) -> Report:
    """As `report`, of what was read."""
    if len(seen.arms) < 2 and not seen.drafted:
        raise ReportError(f"the experiment {seen.experiment} has one arm alone: {seen.arms[0]}")
    units = Units(seen)
    counts = {arm: int((units.arm == n).sum()) for n, arm in enumerate(seen.arms)}
    if control is None:
        control = "control" if "control" in counts else max(counts, key=lambda arm: counts[arm])
    if control not in counts:
        raise ReportError(f"there is no arm {control!r}; there are {', '.join(seen.arms)}")
    shares, fresh, notes = shares_of(seen, units)
    if seen.arms == [EVERY]:
        notes.append("No experiment has several arms; teams drafted the answers, and they are compared.")
    split = {arm: int((units.arm[fresh] == n).sum()) for n, arm in enumerate(seen.arms)}
    if units.moved:
        notes.append(
            f"{units.moved} units were in more than one arm and count for their first: weights moved, or a "
            "reload changed the salt."
        )
    if units.kinds_by_request:
        notes.append(
            "Most units are single answers: send user_id or session_id, so that users keep their arms."
        )
    whole = units.totals(did, window_s)
    base = seen.arms.index(control)
    against = []
    for other, arm in enumerate(seen.arms):
        if other != base:
            against.append(_against(seen, did, units, whole, base, other, arm, metric, effect, window_s))
    return Report(
        experiment=seen.experiment, control=control, metric=metric, effect=effect, units=counts,
        answers={arm: int((units.arm[seen.client] == n).sum()) for n, arm in enumerate(seen.arms)},
        shares=shares, split_p=share_p(split, shares), split_units=int(fresh.sum()),
        latency={arm: _latency(seen.took_ms[units.arm[seen.client] == n]) for n, arm in enumerate(seen.arms)},
        against=against, notes=notes, skipped={**seen.skipped, **did.skipped},
    )  # fmt: skip


def _sums(totals: Mapping[str, F64], name: str, chosen: Any) -> Sums:
    """A metric's or a guardrail's units of one arm."""
    if name in GUARDRAILS:
        return Sums(totals[name][chosen], totals["answers"][chosen])
    column = "revenue" if name == "revenue per unit" else name.removesuffix(" rate")
    weight = np.ones_like(totals["answers"]) if column == "revenue" else totals["answers"]
    return Sums(totals[column][chosen], weight[chosen], totals[f"{column} before"][chosen])


def _compared(totals: Mapping[str, F64], name: str, masks: list[Any], effect: float) -> Comparison:
    control, treatment = (_sums(totals, name, mask) for mask in masks)
    return compare(control, treatment, effect)


def _harmful(found: Comparison) -> bool:
    """Whether a guardrail is surely worse; also where the control has none of it to be relative to."""
    return found.lift.low > 0 or (found.control.value == 0 and found.treatment.low > 0)


def _against(
    seen: Exposures, did: Outcomes, units: Units, whole: Mapping[str, F64], base: int, other: int, arm: str,
    metric: str, effect: float, window_s: float,
) -> Against:  # fmt: skip
    masks = [units.arm == base, units.arm == other]
    metrics = {name: _compared(whole, name, masks, effect) for name in METRICS}
    guards = {name: _compared(whole, name, masks, GUARDRAILS[name]) for name in GUARDRAILS}
    always = metrics[metric].always
    verdict: Verdict = "unknown" if math.isnan(always.low) else "open"
    if always.low > 0 or always.high < 0:
        verdict = "better" if always.low > 0 else "worse"
    overlap, queries = seen.overlap(base, other)
    return Against(
        arm=arm,
        metrics=metrics,
        guardrails=guards,
        tripped=[name for name, c in guards.items() if _harmful(c)],
        open=[name for name, c in guards.items() if not c.lift.low > 0 and c.lift.high > GUARDRAILS[name]],
        looks=_looks(seen, did, units, masks, metric, effect, window_s),
        overlap=overlap,
        queries=queries,
        verdict=verdict,
    )


def _looks(
    seen: Exposures,
    did: Outcomes,
    units: Units,
    masks: list[Any],
    metric: str,
    effect: float,
    window_s: float,
) -> list[Look]:
    start, end = float(seen.at[0]), float(max(seen.at[-1], did.at.max()))
    looks = []
    for until in np.linspace(start, end, _LOOKS + 1)[1:]:
        totals = units.totals(did, window_s, float(until))
        there = totals["answers"] > 0
        found = _compared(totals, metric, [mask & there for mask in masks], effect)
        if not math.isnan(found.lift.low):
            looks.append(Look((float(until) - start) / _DAY_S, found.lift, found.always))
    return looks


def _latency(took_ms: F64) -> dict[str, float]:
    return {
        name: float(np.quantile(took_ms, at)) if len(took_ms) else float("nan")
        for name, at in _QUANTILES.items()
    }


def _plain(value: Any) -> Any:
    """Without NaN."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
