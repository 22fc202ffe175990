"""Requests are begun in short turns, wait fairly, and are refused where they would wait too long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from service.admission import Gate, Pulse
from service.admission.concurrency import Concurrency
from service.admission.gate import _SLICE_S
from service.errors import Overloaded

DEADLINE_S = 0.25
#: A request that costs so much: five fill the slice of a turn.
FIFTH_S = _SLICE_S / 5
#: How many such are waited for in a burst, and where a queue stands.
BURST, STANDING = 0.4 * DEADLINE_S / FIFTH_S, 0.1 * DEADLINE_S / FIFTH_S


class Time:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A gate whose loop passes no time but what the test says; the pulse does not beat."""

    def __init__(self, cost_s: float = FIFTH_S, most: int = 256) -> None:
        self.time, self.pulse = Time(), Pulse()
        self.pulse.cost_s = cost_s
        self.gate = Gate(self.time, DEADLINE_S, self.pulse, Concurrency(most, 0.1))
        self.begun: list[str] = []
        self.refused: list[str] = []

    def ask(self, name: str, client: str = "a", age_s: float = 0.0) -> None:
        self.gate.submit(
            client, self.time.now - age_s, self._put(self.begun, name), self._put(self.refused, name)
        )

    @staticmethod
    def _put(names: list[str], name: str) -> Callable[[], bool]:
        def put() -> bool:
            names.append(name)
            return True

        return put

    async def turn(self, seconds: float = _SLICE_S) -> int:
        """A turn of the loop that takes so long; how many more were begun."""
        before = len(self.begun)
        self.time.now += seconds
        await asyncio.sleep(0)
        return len(self.begun) - before


async def test_without_a_queue_a_request_is_begun_at_once() -> None:
    bench = Bench()
    bench.ask("one")
    assert bench.begun == ["one"]
    assert bench.gate.waiting == 0


async def test_a_turn_of_the_loop_begins_no_more_than_its_slice_of_work() -> None:
    bench = Bench()
    for number in range(15):
        bench.ask(str(number))
    assert len(bench.begun) == 5
    assert [await bench.turn(), await bench.turn()] == [5, 5]
    assert bench.begun == [str(number) for number in range(15)], "in the order they came"


async def test_where_several_clients_are_there_turns_are_short() -> None:
    bench = Bench(cost_s=0.0005)
    bench.gate.shared = lambda: True
    for number in range(6):
        bench.ask(str(number), "many")
    assert len(bench.begun) == 2, "a millisecond of work, for the next client waits for so long at least"
    bench.ask("little", "little")
    assert await bench.turn() == 2
    assert "little" in bench.begun


async def test_one_that_waited_for_most_of_its_time_is_not_begun_any_more() -> None:
    bench = Bench(cost_s=0.5)
    bench.ask("first")
    bench.gate.running = bench.gate.concurrency.limit  # nothing gets on
    bench.pulse.cost_s = 0.001
    bench.ask("waits")
    await bench.turn(0.65 * DEADLINE_S)
    bench.gate.running = 0
    bench.gate._arm()
    await bench.turn()
    assert bench.begun == ["first"]
    assert bench.refused == ["waits"]


async def test_work_that_costs_more_than_a_slice_is_begun_one_by_one() -> None:
    bench = Bench(cost_s=0.5)
    bench.ask("0")
    bench.ask("1")
    assert bench.begun == ["0"]
    assert await bench.turn() == 1


async def test_what_would_wait_too_long_is_refused_at_once() -> None:
    bench = Bench()
    for number in range(500):
        bench.ask(str(number))
    assert 0.9 * BURST <= bench.gate.waiting <= BURST + 6, "and what is begun at once"
    assert len(bench.refused) == 500 - 5 - bench.gate.waiting
    assert bench.refused[-1] == "499"


async def test_a_queue_that_stands_is_kept_shorter_than_that_of_a_burst() -> None:
    bench = Bench()
    longest = []
    for _ in range(100):  # three times as many as can be begun
        for number in range(15):
            bench.ask(str(number))
        longest.append(bench.gate.waiting)
        await bench.turn()
    assert max(longest) > 0.6 * BURST
    assert max(longest[-20:]) <= STANDING + 2, "and what came in between"
    assert len(bench.begun) >= 5 * 98, "nothing is lost of what can be done"


async def test_one_client_with_little_is_not_refused_for_another_with_much() -> None:
    bench = Bench()
    for _ in range(60):
        for number in range(15):
            bench.ask(f"flood {number}", "flood")
        bench.ask("little", "little")
        await bench.turn()
    assert "little" not in bench.refused
    assert bench.begun.count("little") >= 59
    assert any(name.startswith("flood") for name in bench.refused)


async def test_one_that_lay_too_long_in_its_socket_is_refused_and_not_begun() -> None:
    bench = Bench()
    bench.pulse.lag_s = 0.3
    bench.ask("new")
    bench.ask("old", age_s=0.9 * DEADLINE_S)
    assert (bench.begun, bench.refused) == (["new"], ["old"])


async def test_one_alone_is_begun_however_late_the_loop_was() -> None:
    bench = Bench()
    bench.pulse.lag_s = 0.3
    bench.ask("alone", age_s=0.9 * DEADLINE_S)
    assert bench.begun == ["alone"], "its own deadline may be longer"
    bench.ask("old", age_s=0.9 * DEADLINE_S)
    assert bench.refused == ["old"], "those that lay beside it would make each other late"


async def test_one_that_its_client_was_slow_to_send_is_begun_where_nobody_waits() -> None:
    bench = Bench()
    bench.ask("slow", age_s=2 * DEADLINE_S)
    await bench.gate.turn("a", bench.time.now - 2 * DEADLINE_S)
    assert bench.begun == ["slow"]


async def test_one_whose_time_passed_in_the_queue_is_refused_and_not_begun() -> None:
    bench = Bench(cost_s=0.5)
    bench.ask("first")
    bench.ask("second")
    await bench.turn(seconds=1.0)
    assert (bench.begun, bench.refused) == (["first"], ["second"])


async def test_no_more_are_begun_than_may_be_worked_on_and_an_end_begins_the_next() -> None:
    bench = Bench(cost_s=0.0001, most=10)
    for number in range(12):
        bench.ask(str(number))
    assert len(bench.begun) == 10
    bench.gate.running = 10
    assert [await bench.turn(0.001), await bench.turn(0.001)] == [0, 0]
    bench.gate.finished(0.01)
    assert await bench.turn(0.001) == 1
    assert bench.gate.waiting == 1


async def test_one_that_nobody_waits_for_takes_no_turn() -> None:
    bench = Bench(cost_s=0.5)
    bench.ask("first")
    task = asyncio.create_task(bench.gate.turn("a", bench.time.now))
    await asyncio.sleep(0)
    bench.ask("third")
    task.cancel()
    for _ in range(3):
        await bench.turn(0.001)
    assert bench.begun == ["first", "third"]


async def test_a_turn_that_would_come_too_late_is_refused() -> None:
    bench = Bench(cost_s=0.5)
    bench.ask("first")
    with pytest.raises(Overloaded):
        await bench.gate.turn("a", bench.time.now - 0.2)


async def test_should_an_end_be_missed_the_next_beat_goes_on() -> None:
    bench = Bench(cost_s=0.0001, most=8)
    bench.gate.running = 8
    bench.ask("waits")
    await bench.turn(0.001)
    bench.gate.running = 0  # not told by `finished`
    bench.pulse._beat(0.0)
    assert await bench.turn(0.001) == 1
