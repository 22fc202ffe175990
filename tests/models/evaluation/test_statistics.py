import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.statistics import (
    Sums,
    bootstrap,
    by_query,
    by_request,
    difference,
    draws,
    permutation,
    seeds_difference,
)

VALUES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5)), min_size=1, max_size=40)


def sums(total: list[float], weight: list[float] | None = None) -> Sums:
    return Sums(np.array(total, dtype=float), np.array(weight or [1.0] * len(total), dtype=float))


def split(values: list[tuple[float, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([v for v, _ in values]), np.array([q for _, q in values], dtype=np.int64)


def test_requests_and_queries_by_hand() -> None:
    values, query = np.array([1.0, 0.0, 0.0, 1.0, np.nan]), np.array([0, 0, 0, 2, 2])
    each = by_request(values, query, 4)
    assert each.total.tolist() == [1, 0, 1, 0]
    assert each.weight.tolist() == [3, 0, 1, 0]
    assert each.value == 0.5
    once = by_query(values, query, 4)
    assert once.weight.tolist() == [1, 0, 1, 0]
    assert once.value == pytest.approx((1 / 3 + 1) / 2)


def test_nothing_asked_is_unknown() -> None:
    nothing = sums([0.0, 0.0], [0.0, 0.0])
    for found in (bootstrap(nothing), difference(nothing, nothing), seeds_difference([nothing], [])):
        assert np.isnan([found.value, found.low, found.high]).all()
    assert found.as_dict() == {"value": None, "low": None, "high": None}


@given(VALUES)
@settings(max_examples=30)
def test_an_interval_holds_its_figure_and_stays_within_the_values(values: list[tuple[float, int]]) -> None:
    numbers, query = split(values)
    for unit in (by_request, by_query):
        figure = unit(numbers, query, 6)
        found = bootstrap(figure, resamples=200)
        assert found.value == pytest.approx(figure.value)
        # With very few queries a percentile may lie a little beside the mean, never outside the values.
        assert numbers.min() - 1e-9 <= found.low <= found.high <= numbers.max() + 1e-9
        assert bootstrap(figure, resamples=200) == found


@given(st.integers(1, 30), st.integers(1, 20))
def test_a_replicate_draws_as_many_as_there_are(units: int, count: int) -> None:
    drawn = draws(units, count, np.random.default_rng(0))
    assert drawn.shape == (count, units)
    assert (drawn.sum(axis=1) == units).all()


def test_the_interval_is_that_of_the_normal_law_where_there_are_many() -> None:
    hits = (np.random.default_rng(1).random(2000) < 0.3).astype(float)
    found = bootstrap(sums(hits.tolist()), resamples=2000)
    error = 1.96 * np.sqrt(hits.mean() * (1 - hits.mean()) / len(hits))
    assert found.high - found.low == pytest.approx(2 * error, rel=0.1)


def test_repeated_requests_of_one_query_do_not_narrow_the_interval() -> None:
    hits = (np.random.default_rng(2).random(60) < 0.5).astype(float)
    alone = bootstrap(sums(hits.tolist()))
    repeated = bootstrap(sums((hits * 50).tolist(), [50.0] * 60))
    assert (repeated.low, repeated.high) == (pytest.approx(alone.low), pytest.approx(alone.high))


@given(VALUES)
@settings(max_examples=30)
def test_a_system_is_no_better_than_itself(values: list[tuple[float, int]]) -> None:
    figure = by_request(*split(values), 6)
    gap = difference(figure, figure, resamples=100)
    assert gap.value == gap.low == gap.high == 0
    assert permutation(figure, figure, resamples=100) == 1.0
    assert seeds_difference([figure], [figure], resamples=100).value == pytest.approx(0)


def test_permutation_by_hand() -> None:
    """Three queries, each won by 1: of the 8 ways to change places, 2 are as extreme."""
    p = permutation(sums([1, 1, 1]), sums([0, 0, 0]), resamples=20_000)
    assert p == pytest.approx(0.25, abs=0.02)
    assert permutation(sums([1.0] * 20), sums([0.0] * 20)) == pytest.approx(1 / 1001)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20))
@settings(max_examples=40)
def test_permutation_is_symmetric_and_never_zero(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = sums([a for a, _ in pairs]), sums([b for _, b in pairs])
    p = permutation(ours, theirs, resamples=200)
    assert 0 < p <= 1
    assert p == permutation(theirs, ours, resamples=200)


def test_permutation_is_uniform_where_there_is_no_difference() -> None:
    rng = np.random.default_rng(3)
    found = [
        permutation(sums(rng.random(30).tolist()), sums(rng.random(30).tolist()), resamples=200, seed=run)
        for run in range(200)
    ]
    assert 0.01 <= np.mean(np.array(found) <= 0.05) <= 0.11


def test_permutation_refuses_other_requests() -> None:
    with pytest.raises(ValueError, match="same requests"):
        permutation(sums([1, 1]), sums([1, 1], [2.0, 1.0]))


def test_seeds_by_hand() -> None:
    ours = [sums([1, 1, 0, 0]), sums([1, 1, 1, 1])]
    theirs = [sums([0, 1, 0, 0])]
    found = seeds_difference(ours, theirs)
    assert found.value == pytest.approx(0.75 - 0.25)
    assert found.low < found.value < found.high
    assert seeds_difference(ours, theirs, relative=True).value == pytest.approx(2.0)


def test_seeds_that_disagree_widen_the_interval() -> None:
    same, other = sums([0.5] * 40), sums([0.1] * 40)
    steady = seeds_difference([same] * 3, [other] * 3)
    assert (steady.low, steady.high) == (pytest.approx(0.4), pytest.approx(0.4))
    shaky = seeds_difference([sums([x] * 40) for x in (0.1, 0.5, 0.9)], [other] * 3)
    assert shaky.value == pytest.approx(0.4)
    assert shaky.high - shaky.low > 0.3


def test_seeds_that_have_all_else_in_common_are_drawn_together() -> None:
    ours, theirs = ([sums([x + gain] * 40) for x in (0.1, 0.4, 0.7)] for gain in (0.1, 0.0))
    apart, together = (seeds_difference(ours, theirs, paired=paired) for paired in (False, True))
    assert apart.low < 0
    assert (together.low, together.value, together.high) == (pytest.approx(0.1),) * 3


def test_relative_to_nothing_is_unknown() -> None:
    found = seeds_difference([sums([1, 1])], [sums([0, 0])], relative=True)
    assert np.isnan(found.low)
