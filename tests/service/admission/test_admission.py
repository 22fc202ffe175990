"""Places are shared, and work shrinks by how long a request has waited before any is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest

from service.admission import Admission
from service.errors import Overloaded
from service.settings import DeadlineSettings, Limits


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


Make = Callable[..., Admission]


@pytest.fixture
def make(time: Time) -> Make:
    def make(refused: Callable[[str], None] = lambda reason: None, **limits: int) -> Admission:
        return Admission(Limits(**limits), DeadlineSettings(default_ms=250), time, refused)

    return make


def test_work_shrinks_with_the_time_that_a_request_waited(make: Make) -> None:
    admission = make()  # 100 ms of waiting are the most in a burst
    shed = [admission.shedding(waited) for waited in (0.0, 0.06, 0.08, 0.09, 0.3)]
    assert [each.load > 0.5 for each in shed] == [False, True, True, True, True]  # no I2I
    assert [each.k_share for each in shed] == [1.0, 1.0, 0.5, 0.5, 0.5]
    assert [each.no_portrait for each in shed] == [False, False, False, True, True]
    assert shed[-1].load == 1.0


def test_alone_a_client_may_take_every_place(make: Make) -> None:
    admission = make(in_flight=10)
    tickets = [admission.enter("a", 0.0) for _ in range(10)]
    with pytest.raises(Overloaded):
        admission.enter("a", 0.0)
    for ticket in tickets:
        ticket.__exit__()
    assert admission.in_flight == 0
    assert admission._places == {}


def test_turns_are_short_while_several_clients_are_there(make: Make, time: Time) -> None:
    admission = make()
    for _ in range(3):
        with admission.enter("a", 0.0):
            assert not admission.gate.shared()
    with admission.enter("b", 0.0):
        assert admission.gate.shared()
    assert admission.gate.shared(), "it may come again"
    time.now += 2.0
    assert not admission.gate.shared()


def test_while_others_are_there_no_client_takes_them_all(make: Make) -> None:
    reasons: Counter[str] = Counter()
    admission = make(lambda reason: reasons.update([reason]), in_flight=100)
    with admission.enter("single", 0.0):
        taken = 0
        with suppress(Overloaded):
            while taken < 100:
                admission.take("flood", 1)
                taken += 1
        assert 60 <= taken <= 90
        assert reasons == {"share": 1}
        with admission.enter("single", 0.0), admission.enter("third", 0.0):
            pass


def test_the_last_place_is_for_whoever_has_none(make: Make) -> None:
    admission = make(in_flight=3)
    admission.take("a", 1)
    admission.take("b", 1)
    admission.take("c", 1)
    with pytest.raises(Overloaded):
        admission.take("d", 1)


def test_a_client_is_alone_again_when_the_others_have_left_for_a_while(make: Make, time: Time) -> None:
    admission = make(in_flight=10)
    with admission.enter("other", 0.0):
        pass
    time.now += 2.0
    for _ in range(10):
        admission.take("a", 1)
    assert admission.in_flight == 10


def test_a_batch_takes_a_place_for_each_entry_or_none(make: Make) -> None:
    admission = make(in_flight=10)
    with admission.enter("a", 0.0) as ticket:
        with pytest.raises(Overloaded):
            ticket.widen(11)
        assert admission.in_flight == 1
        ticket.widen(10)
        ticket.pause()
        assert (admission.in_flight, admission.gate.running) == (10, 0)
    assert (admission.in_flight, admission.gate.running) == (0, 0)


async def test_an_entry_of_a_batch_counts_while_it_is_worked_on(make: Make, time: Time) -> None:
    admission = make()
    with await admission.entry("a", time.now + 1.0) as entry:
        assert admission.gate.running == 1
        assert entry.shedding.load < 0.1
    assert admission.gate.running == 0


async def test_an_entry_whose_turn_comes_too_late_is_refused_and_counted(make: Make, time: Time) -> None:
    reasons: list[str] = []
    admission = make(reasons.append)
    admission.pulse.cost_s = 1.0
    await admission.entry("a", time.now + 1.0)
    waiting = admission.gate
    waiting.submit("a", time.now, lambda: True, lambda: None, time.now + 60)
    with pytest.raises(Overloaded):
        await admission.entry("a", time.now + 0.1)
    assert reasons == ["waiting"]


def test_one_that_waited_for_most_of_its_own_time_is_refused_not_worked_on(make: Make) -> None:
    admission = make()
    admission.pulse.cost_s = 0.002
    admission.refuse_hopeless(remaining_s=0.001, waited_s=0.0)  # it asks for little time, which is its own
    admission.refuse_hopeless(remaining_s=0.010, waited_s=0.040)
    with pytest.raises(Overloaded):
        admission.refuse_hopeless(remaining_s=0.001, waited_s=0.040)
