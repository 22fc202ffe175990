"""Boosts: bounded, never the other way round, and nothing for what is missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.recall.boosts import Boost, boosted, worths

NOW = datetime(2026, 1, 1, tzinfo=UTC)
boosts = st.builds(
    Boost,
    attribute=st.just("a"),
    weight=st.floats(-1, 10),
    shape=st.sampled_from(["linear", "log", "newness"]),
    low=st.floats(0, 10),
    high=st.floats(11, 1e6),
    half_life_days=st.floats(0.1, 1000),
)


@given(boosts, st.floats(-1e12, 1e12), st.floats(-1, 1))
def test_a_boost_is_bounded_by_its_weight(boost: Boost, value: float, score: float) -> None:
    assert 0.0 <= boost.share(NOW)(value) <= 1.0
    worth = worths([boost], NOW)([value])
    low, high = sorted((score, score + abs(score) * boost.weight))
    assert low - 1e-6 <= boosted(score, worth) <= high + 1e-6


@given(boosts, st.floats(-1e12, 1e12), st.floats(-1e12, 1e12))
def test_more_of_the_attribute_never_counts_for_less(boost: Boost, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert boost.share(NOW)(low) <= boost.share(NOW)(high)


def test_newness_halves() -> None:
    share = Boost(attribute="added", weight=1, shape="newness", half_life_days=10).share(NOW)
    ages = [share((NOW - timedelta(days=days)).timestamp()) for days in (-5, 0, 10, 20)]
    assert ages == pytest.approx([1.0, 1.0, 0.5, 0.25])


def test_what_is_missing_counts_for_nothing() -> None:
    two = [Boost(attribute="a", weight=1), Boost(attribute="b", weight=2)]
    assert worths(two, NOW)([None, 1.0]) == 2.0
    assert worths(two, NOW)([None, None]) == 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"weight": 11},
        {"weight": -1.1},
        {"weight": float("nan")},
        {"weight": 1, "low": 1, "high": 1},
        {"weight": 1, "shape": "log", "low": -1},
        {"weight": 1, "shape": "newness", "half_life_days": 0},
        {"weight": 1, "shape": "cubic"},
        {},
    ],
)
def test_a_boost_that_has_no_bound_or_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Boost(attribute="a", **wrong)
