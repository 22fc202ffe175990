"""Quotas of a day."""

from __future__ import annotations

from service.access.quotas import Quotas

_NOON = 20_000 * 86_400 + 43_200.0


def test_a_quota_is_of_a_day_and_each_worker_has_its_share() -> None:
    now = [_NOON]
    quotas = Quotas(share=0.5, clock=lambda: now[0])
    assert [quotas.wait("shop", 20) for _ in range(11)] == [0.0] * 10 + [43_200.0]
    assert quotas.wait("other", 20) == 0
    assert quotas.wait("shop", 40, cost=11) == 43_200, "what does not fit uses nothing up"
    assert quotas.wait("shop", 40, cost=10) == 0, "the file has another quota now"
    quotas.keep({"other"})
    assert quotas.wait("shop", 20) == 0
    now[0] += 43_200
    assert [quotas.wait("other", 20) for _ in range(11)] == [0.0] * 10 + [86_400.0]


def test_a_quota_below_the_number_of_workers_is_one() -> None:
    quotas = Quotas(share=0.25, clock=lambda: _NOON)
    assert quotas.wait("shop", 1) == 0
    assert quotas.wait("shop", 1) > 0
