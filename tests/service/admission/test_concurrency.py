"""As many at once as keep each of them quick."""

from __future__ import annotations

from service.admission.concurrency import LEAST, Concurrency

TARGET_S = 0.1


def settle(bound: Concurrency, time_of: float, rounds: int = 100, wanted: int = 256) -> None:
    """Looks while each of ``wanted`` takes ``time_of`` seconds for every one that is worked on."""
    for _ in range(rounds):
        at_once = min(bound.limit, wanted)
        for _ in range(20):
            bound.finished(at_once * time_of, at_once)
        bound.look()


def test_work_that_crowds_itself_is_bounded_until_it_is_quick() -> None:
    bound = Concurrency(256, TARGET_S)
    settle(bound, 0.004)  # 256 of them take a second, 25 of them 0.1
    assert 15 <= bound.limit <= 40


def test_it_goes_back_up_when_work_is_quick_again() -> None:
    bound = Concurrency(256, TARGET_S)
    settle(bound, 0.004)
    settle(bound, 0.0001, rounds=25)
    assert bound.limit == 256


def test_it_never_stops_all_work() -> None:
    bound = Concurrency(256, TARGET_S)
    settle(bound, 10.0)
    assert bound.limit >= LEAST


def test_an_engine_that_is_slow_by_nature_is_not_taken_for_a_busy_one() -> None:
    bound = Concurrency(256, TARGET_S)
    for _ in range(50):
        for _ in range(20):
            bound.finished(0.3, min(bound.limit, 200))  # whatever is done beside it
        bound.look()
    assert bound.limit >= 200


def test_a_few_slow_answers_say_nothing() -> None:
    bound = Concurrency(256, TARGET_S)
    for _ in range(7):
        bound.finished(5.0, 1)
    bound.look()
    assert bound.limit == 256
