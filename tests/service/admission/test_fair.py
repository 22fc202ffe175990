"""No client waits behind another's many jobs."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.admission.fair import FairQueue


def test_clients_take_turns_whatever_each_puts_in() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(64):
        queue.put("batches", f"b{number}")
    queue.put("single", "s0")
    queue.put("single", "s1")
    assert [queue.pop() for _ in range(5)] == ["b0", "s0", "b1", "s1", "b2"]
    assert len(queue) == 61


def test_a_client_that_comes_again_does_not_jump_the_queue() -> None:
    queue: FairQueue[str] = FairQueue()
    served: Counter[str] = Counter()
    for number in range(8):
        queue.put("many", f"m{number}")
    for _ in range(8):  # this one always comes back when its last job was taken
        if not queue.ahead("few"):
            break
        queue.put("few", "f")
        for _ in range(2):
            if queue:
                served[queue.pop()[0]] += 1
    assert abs(served["m"] - served["f"]) <= 1


def test_what_comes_before_a_new_job_is_its_own_and_one_turn_of_each_other_for_each() -> None:
    queue: FairQueue[int] = FairQueue()
    for _ in range(100):
        queue.put("a", 0)
    assert queue.ahead("a") == 100
    assert queue.ahead("b") == 1
    queue.put("b", 0)
    assert queue.ahead("b") == 3


def test_an_empty_queue_has_no_next() -> None:
    with pytest.raises(IndexError):
        FairQueue[int]().pop()


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans())))
def test_each_client_keeps_its_order_and_nothing_is_lost(steps: list[tuple[str, bool]]) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue()
    put: dict[str, int] = dict.fromkeys("abcd", 0)
    got: dict[str, int] = dict.fromkeys("abcd", 0)

    def pop() -> None:
        client, number = queue.pop()
        assert number == got[client]
        got[client] += 1

    for client, take in steps:
        queue.put(client, (client, put[client]))
        put[client] += 1
        if take:
            pop()
    while queue:
        pop()
    assert put == got


@given(st.integers(1, 5), st.integers(1, 5))
def test_clients_with_enough_to_do_are_served_as_often(clients: int, rounds: int) -> None:
    queue: FairQueue[str] = FairQueue()
    for client in "abcde"[:clients]:
        for _ in range(50):
            queue.put(client, client)
    served = Counter(queue.pop() for _ in range(rounds * clients))
    assert set(served.values()) == {rounds}


def test_memory_is_bounded_by_what_waits() -> None:
    queue: FairQueue[int] = FairQueue()
    for number in range(100_000):  # each from another address
        queue.put(f"address {number}", number)
        queue.pop()
    assert len(queue._turns) <= 4097
    assert not queue._jobs
    assert not queue._next
