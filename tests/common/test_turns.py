"""Work of many steps leaves the loop to others in between, however many do such work."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from common.turns import TURN_S, Turns


class Time:
    """A clock that work moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_one_turn_of_the_loop_is_shared_by_all() -> None:
    clock, longest, began, left = Time(), 0.0, 0.0, 20 * 5
    turns = Turns(clock)

    async def work() -> None:
        nonlocal left
        for _ in range(5):
            await turns.take()
            clock.now += TURN_S / 3
            left -= 1

    async def others() -> None:
        nonlocal longest, began
        while left:
            longest = max(longest, clock.now - began)
            began = clock.now
            await asyncio.sleep(0)

    await asyncio.gather(others(), *(work() for _ in range(20)))
    assert longest <= TURN_S * 2


async def test_nobody_waits_while_there_is_time() -> None:
    turns = Turns(Time())
    for _ in range(3):
        taken = turns.take()
        try:
            taken.send(None)
        except StopIteration:
            continue
        raise AssertionError


async def test_steps_longer_than_a_turn_starve_nobody() -> None:
    now = 0.0
    turns = Turns(lambda: now)
    steps = Counter[str]()

    async def work(name: str) -> None:
        nonlocal now
        while steps.total() < 300:
            await turns.take()
            steps[name] += 1
            now += 2 * TURN_S

    async with asyncio.timeout(30):
        await asyncio.gather(*(work(name) for name in "abc"))
    assert max(steps.values()) - min(steps.values()) <= 3


async def test_the_first_step_of_a_turn_of_the_loop_waits_for_nobody() -> None:
    now = 0.0
    turns = Turns(lambda: now)
    await turns.take()
    await asyncio.sleep(0)
    now = 1000 * TURN_S
    with pytest.raises(StopIteration):
        turns.take().send(None)


async def test_one_that_is_cancelled_while_it_waits_leaves_its_place() -> None:
    now = 0.0
    turns = Turns(lambda: now)
    await turns.take()
    now = 2 * TURN_S
    waiting = turns.take()
    waiting.send(None)  # it waits for the next turn
    waiting.close()
    async with asyncio.timeout(30):
        await turns.take()
