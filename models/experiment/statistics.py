"""Figures that are sums over units divided by sums over units, and how far two arms differ in them.

The variance of such a ratio is that of its linear part over units (delta method). CUPED takes out of it what
a covariate from before the experiment explains (Deng et al., 2013). The sequential interval holds at every
look at once (mixture sequential probability ratio test, Johari et al., 2015), so that who looks every day may
stop at any of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from common.arrays import F64
from models.evaluation.statistics import UNKNOWN, Interval

#: Of two-sided intervals and tests.
ALPHA = 0.05
NORMAL = NormalDist()
Z = NORMAL.inv_cdf(1 - ALPHA / 2)
#: Units of an arm below which nothing is compared: the normal approximation would not hold.
LEAST_UNITS = 30


@dataclass(frozen=True)
class Sums:
    """One arm's units: each float64 ``[n]``. ``before`` is the covariate of CUPED, or None."""

    total: F64
    weight: F64
    before: F64 | None = None

    @property
    def value(self) -> float:
        """The ratio; NaN without any weight."""
        weight = float(self.weight.sum())
        return float(self.total.sum()) / weight if weight > 0 else float("nan")

    def linear(self) -> F64:
        """Each unit's part in the ratio's deviation, ``[n]``: their mean is 0."""
        mean = float(self.weight.mean())
        result: F64 = (self.total - self.value * self.weight) / mean
        return result


@dataclass(frozen=True)
class Comparison:
    """A treatment against the control.

    Attributes:
        control, treatment: the figure of each, with its interval.
        lift: relative difference, with its interval at one look that was planned.
        always: the same, holding at every look at once.
        p: two-sided, at one look.
        se: standard error of the lift.
        power: chance to find a lift of the planned effect with these units.
        detectable: smallest lift that is found with a chance of 0.8.
        explained: share of the variance that CUPED took out.
    """

    control: Interval
    treatment: Interval
    lift: Interval
    always: Interval
    p: float
    se: float
    power: float
    detectable: float
    explained: float


def compare(control: Sums, treatment: Sums, effect: float) -> Comparison:
    """A treatment against the control.

    Args:
        control, treatment: their units.
        effect: the relative lift that the experiment is made to find; sets the power, and where the
            sequential interval is narrowest.
    """
    if min(len(control.total), len(treatment.total)) < LEAST_UNITS or not control.value > 0:
        nan = float("nan")
        return Comparison(_alone(control), _alone(treatment), UNKNOWN, UNKNOWN, nan, nan, nan, nan, 0.0)
    lines = [control.linear(), treatment.linear()]
    values = [control.value, treatment.value]
    plain_variance = sum(float(line.var(ddof=1)) / len(line) for line in lines)
    explained = 0.0
    if control.before is not None and treatment.before is not None:
        values, lines = _adjusted(values, lines, [control.before, treatment.before])
        variance = sum(float(line.var(ddof=1)) / len(line) for line in lines)
        explained = 1 - variance / plain_variance if plain_variance > 0 else 0.0
    squares = [float(line.var(ddof=1)) / len(line) for line in lines]
    base, other = values
    lift = other / base - 1
    se = math.sqrt(squares[1] / base**2 + squares[0] * other**2 / base**4)
    around = [_around(value, math.sqrt(square)) for value, square in zip(values, squares, strict=True)]
    wide = always_half_width(se, effect)
    return Comparison(
        control=around[0],
        treatment=around[1],
        lift=_around(lift, se),
        always=Interval(lift, lift - wide, lift + wide),
        p=2 * (1 - NORMAL.cdf(abs(lift) / se)) if se > 0 else float("nan"),
        se=se,
        power=power(se, effect),
        detectable=(Z + NORMAL.inv_cdf(0.8)) * se,
        explained=explained,
    )


def _alone(arm: Sums) -> Interval:
    """A figure that is compared to none."""
    if len(arm.total) < LEAST_UNITS or not float(arm.weight.sum()) > 0:
        return Interval(arm.value, float("nan"), float("nan"))
    return _around(arm.value, math.sqrt(float(arm.linear().var(ddof=1)) / len(arm.total)))


def _around(value: float, se: float) -> Interval:
    return Interval(value, value - Z * se, value + Z * se)


def _adjusted(values: list[float], lines: list[F64], before: list[F64]) -> tuple[list[float], list[F64]]:
    """Both arms' figures and linear parts less what the covariate explains."""
    centred = [each - each.mean() for each in before]
    spread = float(sum((each**2).sum() for each in centred))
    if spread <= 0:
        return values, lines
    theta = float(sum((line * each).sum() for line, each in zip(lines, centred, strict=True))) / spread
    middle = float(np.concatenate(before).mean())
    adjusted = [
        value - theta * (float(each.mean()) - middle) for value, each in zip(values, before, strict=True)
    ]
    return adjusted, [line - theta * each for line, each in zip(lines, centred, strict=True)]


def power(se: float, effect: float) -> float:
    """Chance that a lift of ``effect`` is found at one look, where the lift has this standard error."""
    if not se > 0:
        return float("nan")
    return NORMAL.cdf(abs(effect) / se - Z) + NORMAL.cdf(-abs(effect) / se - Z)


def always_half_width(se: float, effect: float, comparisons: int = 1) -> float:
    """Half the width of an interval that holds at every look; narrowest where the lift is ``effect``.

    Of several ``comparisons`` all intervals hold at once (Bonferroni).
    """
    if not se > 0:
        return float("nan")
    variance, prior = se**2, effect**2
    ratio = (variance + prior) / variance
    rarely = 2 * math.log(comparisons / ALPHA)
    return math.sqrt(variance * (variance + prior) / prior * (rarely + math.log(ratio)))


def share_p(counts: Mapping[str, int], shares: Mapping[str, float]) -> float:
    """Chance of counts at least as far from the shares as these, if units were split by the shares.

    A chi-square test; NaN for fewer than two arms.
    """
    total, whole = sum(counts.values()), sum(shares[arm] for arm in counts)
    if len(counts) < 2 or not total or whole <= 0:
        return float("nan")
    expected = {arm: total * shares[arm] / whole for arm in counts}
    if min(expected.values()) <= 0:
        return 0.0
    statistic = sum((count - expected[arm]) ** 2 / expected[arm] for arm, count in counts.items())
    return chi_square_above(statistic, len(counts) - 1)


def chi_square_above(statistic: float, freedom: int) -> float:
    """Chance of a chi-square value above ``statistic``, for a whole number of degrees of freedom."""
    half = statistic / 2
    if freedom % 2 == 0:
        term = total = math.exp(-half)
        for n in range(1, freedom // 2):
            term *= half / n
            total += term
        return min(1.0, total)
    total = math.erfc(math.sqrt(half))
    term = math.sqrt(half / math.pi) * 2 * math.exp(-half)
    for n in range(1, (freedom + 1) // 2):
        total += term
        term *= half / (n + 0.5)
    return min(1.0, total)
