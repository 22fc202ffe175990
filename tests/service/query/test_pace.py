"""A job is refused where those before it would take too long."""

from __future__ import annotations

import pytest

from service.query.pace import Pace


def test_a_wait_is_as_long_as_those_before_take() -> None:
    pace = Pace(patience_s=0.1)
    assert not pace.too_long(10_000), "nothing is known yet"
    for _ in range(100):
        pace.took(0.04, jobs=4)
    assert pace.each_s == pytest.approx(0.01)
    assert not pace.too_long(9)
    assert pace.too_long(11)


def test_several_at_once_get_on_sooner() -> None:
    pace = Pace(patience_s=0.1, at_once=3)
    for _ in range(100):
        pace.took(0.01)
    assert not pace.too_long(29)
    assert pace.too_long(31)


def test_nobody_waits_behind_nobody() -> None:
    pace = Pace(patience_s=0.1)
    pace.took(1000.0)
    assert not pace.too_long(0)


def test_what_would_not_be_done_in_time_is_not_begun() -> None:
    pace = Pace(patience_s=0.1)
    for _ in range(100):
        pace.took(0.01)
    assert not pace.too_long(4, within_s=0.055), "four before it and its own"
    assert pace.too_long(5, within_s=0.055)
    assert not pace.too_long(0, within_s=0.001), "only by doing one is it known what they take now"
