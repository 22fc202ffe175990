"""The statistics of experiments, against scipy and against experiments whose truth was planted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from models.experiment.report import SPLIT_P
from models.experiment.statistics import (
    Sums,
    always_half_width,
    chi_square_above,
    compare,
    power,
    share_p,
)


def arm(rng: np.random.Generator, units: int, rate: float, *, before: bool = False) -> Sums:
    """Units with some answers each, a taste of their own, and clicks."""
    answers = rng.poisson(4, units) + 1.0
    taste = np.clip(rng.normal(rate, rate / 3, units), 0, 1)
    clicks = rng.binomial(answers.astype(int), taste).astype(float)
    untreated = np.clip(taste * 0.2 / rate, 0, 1)
    past = rng.binomial(30, untreated).astype(float) if before else None
    return Sums(clicks, answers, past)


@pytest.mark.parametrize("freedom", range(1, 8))
def test_chi_square_is_that_of_scipy(freedom: int) -> None:
    for statistic in (0.0, 0.3, 1.0, 3.84, 10.0, 60.0):
        assert chi_square_above(statistic, freedom) == pytest.approx(stats.chi2.sf(statistic, freedom))


def test_the_split_is_tested_as_scipy_does() -> None:
    counts, shares = {"a": 700, "b": 190, "c": 120}, {"a": 0.7, "b": 0.2, "c": 0.1}
    expected = [1010 * share for share in shares.values()]
    assert share_p(counts, shares) == pytest.approx(stats.chisquare(list(counts.values()), expected).pvalue)


def test_a_planted_mismatch_is_flagged() -> None:
    """Two units in a hundred of an arm are lost, as by a redirect that fails."""
    rng = np.random.default_rng(5)
    found = dict.fromkeys((0.0, 0.02), 0)
    for planted in found:
        for _ in range(200):
            control = rng.binomial(200_000, 0.5)
            treatment = rng.binomial(200_000 - control, 1 - planted)
            found[planted] += share_p({"a": control, "b": treatment}, {"a": 0.5, "b": 0.5}) <= SPLIT_P
    assert found[0.0] <= 2
    # A loss of 2,000 of 198,000 is 4.49 standard deviations, and 3.29 are needed.
    chance = stats.norm.sf(stats.norm.isf(SPLIT_P / 2) - 2000 / np.sqrt(198_000))
    assert abs(found[0.02] / 200 - chance) < 4 * np.sqrt(chance * (1 - chance) / 200)


def test_a_thousand_experiments_without_a_difference_give_five_per_cent_false_alarms() -> None:
    rng = np.random.default_rng(7)
    plain, adjusted = [], []
    for _ in range(1000):
        control, treatment = arm(rng, 1000, 0.2, before=True), arm(rng, 1000, 0.2, before=True)
        adjusted.append(compare(control, treatment, 0.03).p)
        without = [Sums(each.total, each.weight) for each in (control, treatment)]
        plain.append(compare(without[0], without[1], 0.03).p)
    for ps in (plain, adjusted):
        # Four standard deviations of a binomial draw; the seed is fixed, so this cannot flicker.
        assert abs(np.mean(np.array(ps) < 0.05) - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 1000)
        assert stats.kstest(ps, "uniform").pvalue > 0.001


def test_a_planted_lift_is_found_as_often_as_the_power_says() -> None:
    rng = np.random.default_rng(11)
    found, stated, covered = [], [], []
    for _ in range(400):
        seen = compare(arm(rng, 9000, 0.2), arm(rng, 9000, 0.2 * 1.037), 0.037)
        found.append(seen.p < 0.05 and seen.lift.value > 0)
        stated.append(seen.power)
        covered.append(seen.lift.low <= 0.037 <= seen.lift.high)
    assert 0.5 < np.mean(stated) < 0.95, "neither hopeless nor certain, so that the figure says something"
    assert abs(np.mean(found) - np.mean(stated)) < 4 * np.sqrt(0.25 / 400)
    assert abs(np.mean(covered) - 0.95) < 4 * np.sqrt(0.05 * 0.95 / 400)


def test_what_units_did_before_makes_intervals_narrower_and_moves_nothing() -> None:
    rng = np.random.default_rng(13)
    gains, lifts = [], []
    for _ in range(50):
        control, treatment = arm(rng, 4000, 0.2, before=True), arm(rng, 4000, 0.22, before=True)
        seen = compare(control, treatment, 0.1)
        plain = compare(Sums(control.total, control.weight), Sums(treatment.total, treatment.weight), 0.1)
        gains.append(seen.se / plain.se)
        lifts.append(seen.lift.value)
        assert 0.02 < seen.explained < 0.2
    assert np.mean(gains) < 0.97
    assert np.mean(lifts) == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("correlation", [0.3, 0.8])
def test_cuped_takes_out_of_the_variance_what_theory_says_and_leaves_the_lift_where_it_was(
    correlation: float,
) -> None:
    """A covariate of correlation r leaves 1 - r^2 of the variance (Deng et al., 2013)."""
    rng = np.random.default_rng(23)
    rounds, units, planted = 300, 500, 0.05
    plain, adjusted, explained, stated = [], [], [], []
    for _ in range(rounds):
        arms = []
        for mean in (10.0, 10.0 * (1 + planted)):
            before = rng.normal(5, 2, units)
            noise = rng.normal(0, 2 * np.sqrt(1 - correlation**2), units)
            arms.append(Sums(mean + correlation * (before - 5) + noise, np.ones(units), before))
        seen = compare(arms[0], arms[1], planted)
        bare = compare(*(Sums(each.total, each.weight) for each in arms), planted)
        plain.append(bare.lift.value)
        adjusted.append(seen.lift.value)
        explained.append(seen.explained)
        stated.append(seen.se)
    left = np.var(adjusted) / np.var(plain)
    assert np.mean(explained) == pytest.approx(correlation**2, abs=0.01)
    # Both variances are of the same draws; each has a relative error of sqrt(2 / rounds) = 0.08.
    assert left == pytest.approx(1 - correlation**2, rel=0.3)
    assert np.mean(stated) == pytest.approx(np.std(adjusted), rel=0.15)
    for lifts in (plain, adjusted):
        assert abs(np.mean(lifts) - planted) < 4 * np.std(lifts) / np.sqrt(rounds)


def test_cuped_takes_out_an_imbalance_that_was_there_before() -> None:
    """One arm got users who bought more all along; by chance, that is, and the figure must not say it won."""
    rng = np.random.default_rng(29)
    before = [rng.normal(mean, 2, 5000) for mean in (5.0, 5.3)]
    arms = [Sums(5 + each + rng.normal(0, 1, 5000), np.ones(5000), each) for each in before]
    bare = compare(*(Sums(each.total, each.weight) for each in arms), 0.03)
    assert bare.lift.low > 0.01
    assert compare(arms[0], arms[1], 0.03).lift.value == pytest.approx(0, abs=0.005)


def test_who_looks_every_day_is_not_misled_by_the_interval_that_holds_at_every_look() -> None:
    rng = np.random.default_rng(17)
    once = always = 0
    for _ in range(200):
        control, treatment = arm(rng, 6000, 0.2), arm(rng, 6000, 0.2)
        wrong = [False, False]
        for units in range(300, 6001, 300):
            seen = compare(
                Sums(control.total[:units], control.weight[:units]),
                Sums(treatment.total[:units], treatment.weight[:units]),
                0.05,
            )
            wrong[0] |= not seen.lift.low <= 0 <= seen.lift.high
            wrong[1] |= not seen.always.low <= 0 <= seen.always.high
        once += wrong[0]
        always += wrong[1]
    assert once / 200 > 0.15, "looking again and again at an interval of one look misleads"
    assert always / 200 <= 0.05


def test_few_units_and_none_at_all_are_not_compared() -> None:
    rng = np.random.default_rng(19)
    few = compare(arm(rng, 10, 0.2), arm(rng, 5000, 0.2), 0.03)
    assert np.isnan(few.lift.value)
    nobody = Sums(np.zeros(100), np.ones(100))
    seen = compare(nobody, arm(rng, 100, 0.2), 0.03)
    assert np.isnan(seen.lift.value)
    assert (seen.control.value, seen.control.low) == (0, 0)
    assert seen.treatment.low > 0


def test_power_and_width_are_those_of_the_formulas() -> None:
    assert power(0.01, 0.028) == pytest.approx(0.7996, abs=1e-3)
    assert power(0.01, 0.0) == pytest.approx(0.05)
    assert always_half_width(0.01, 0.03) > 1.96 * 0.01
