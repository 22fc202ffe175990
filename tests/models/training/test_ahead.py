"""Batches drawn ahead are those drawn in time."""

import threading

import pytest

from models.training.ahead import Ahead


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_every_step_gets_its_own(depth: int) -> None:
    made: list[int] = []
    with Ahead(lambda step: made.append(step) or step * step, 7, depth) as ahead:  # type: ignore[func-returns-value]
        assert [ahead.take(step) for step in range(2, 7)] == [4, 9, 16, 25, 36]
        assert sorted(made) == [2, 3, 4, 5, 6]
        assert set(ahead.times()) == {"drawn_ms", "waited_ms"}
        assert ahead.times() == {"drawn_ms": 0.0, "waited_ms": 0.0}


def test_steps_are_drawn_while_another_runs() -> None:
    drawn = [threading.Event() for _ in range(5)]
    with Ahead(lambda step: drawn[step].set(), 5, 2) as ahead:
        ahead.take(0)
        assert drawn[1].wait(10)
        assert drawn[2].wait(10)
        assert not drawn[3].is_set()


def test_what_fails_in_a_thread_fails_in_its_step() -> None:
    def make(step: int) -> int:
        if step == 1:
            raise ValueError("no such picture")
        return step

    with Ahead(make, 3, 2) as ahead:
        assert ahead.take(0) == 0
        with pytest.raises(ValueError, match="no such picture"):
            ahead.take(1)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]
