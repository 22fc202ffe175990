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
