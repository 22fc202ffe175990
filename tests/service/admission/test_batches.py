"""As many entries of batches at once as let whole batches be in time."""

from __future__ import annotations

import pytest

from service.admission.batches import Batches
from service.errors import Overloaded

DEADLINE_S = 0.25


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    def __init__(self) -> None:
        self.time = Time()
        self.refused: list[str] = []
        self.batches = Batches(DEADLINE_S, 256, self.time, self.refused.append)

    def late(self, rounds: int = 40, each_s: float = 0.004, within_s: float = DEADLINE_S) -> None:
        """As many batches of 16 at once as are let in, each entry of which takes so long."""
        for _ in range(rounds):
            ends = []
            for _ in range(16):
                try:
                    self.batches.refuse_crowding("a", 16)
                except Overloaded:
                    break
                ends.append(self.batches.begin("a", 16, within_s))
            self.time.now += len(ends) * 16 * each_s
            for end in ends:
                end()
            for _ in range(4):
                self.batches.look()


def test_batches_that_are_late_together_come_one_after_another() -> None:
    bench = Bench()
    bench.late()  # 64 of them at once take their whole time
    assert bench.batches.limit < 60
    assert "waiting" in bench.refused


def test_batches_that_are_in_time_are_not_held_up() -> None:
    bench = Bench()
    bench.late(each_s=0.0004)
    assert bench.batches.limit == 256
    bench.late()
    bench.late(each_s=0.0002)
    assert bench.batches.limit == 256


def test_batches_that_may_take_long_are_not_late_when_they_do() -> None:
    bench = Bench()
    bench.late(within_s=10.0)
    assert bench.batches.limit == 256


def test_one_alone_is_always_tried() -> None:
    bench = Bench()
    bench.late(each_s=1.0)
    bench.batches.refuse_crowding("a", 64)
    end = bench.batches.begin("a", 64, DEADLINE_S)
    with pytest.raises(Overloaded):
        bench.batches.refuse_crowding("a", 64)
    end()
    bench.batches.refuse_crowding("a", 64)


def test_a_client_without_a_batch_is_not_kept_out_by_one_with_many() -> None:
    bench = Bench()
    bench.late()
    limit = bench.batches.limit
    end = bench.batches.begin("a", limit - 4, DEADLINE_S)
    with pytest.raises(Overloaded):
        bench.batches.refuse_crowding("a", 8)
    bench.batches.refuse_crowding("b", 8)
    end()
    assert bench.batches._entries == {}
