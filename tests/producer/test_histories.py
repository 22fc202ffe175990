"""The last behaviours of users, against the function that serving and training use."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from artifacts.actions import ACTIONS
from artifacts.bundle.portrait import Behaviour, recent
from producer.histories import Histories, LogRow
from producer.job import digest_of
from producer.queries import by_length, head_queries

START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = st.lists(
    st.tuples(
        st.sampled_from("uvw"),
        st.sampled_from("abcde"),
        st.sampled_from(("impression", "seen", *ACTIONS.behaviours)),
        st.integers(0, 20).map(lambda s: START + timedelta(seconds=s, microseconds=s)),
    ),
    max_size=40,
)


def history(log: Histories, user: int) -> list[Behaviour]:
    here = slice(log.offsets[user], log.offsets[user + 1])
    return [
        Behaviour(log.item_ids[item], ACTIONS.behaviours[action - 1], START + timedelta(microseconds=time))
        for item, action, time in zip(
            log.items[here].tolist(),
            log.actions[here].tolist(),
            (log.times[here] - int(START.timestamp() * 1e6)).tolist(),
            strict=True,
        )
    ]


@given(ROWS, st.integers(1, 6))
def test_each_user_keeps_the_last_behaviours(rows: list[LogRow], limit: int) -> None:
    log = Histories.collect(rows, limit, ACTIONS.behaviours)
    wanted: dict[str, set[Behaviour]] = {}
    for user, item, action, ts in rows:
        if action in ACTIONS.behaviours:
            wanted.setdefault(user, set()).add(Behaviour(item, action, ts))
    assert set(log.users) == set(wanted)
    for place, user in enumerate(log.users):
        ordered = sorted(wanted[user], key=lambda b: (b.item_id, ACTIONS.behaviours.index(b.action)))
        assert history(log, place) == recent(ordered, limit, ACTIONS.behaviours)


@given(ROWS, st.integers(1, 6))
def test_an_item_has_one_place_where_the_bundle_says_so(rows: list[LogRow], limit: int) -> None:
    log = Histories.collect(rows, limit, ACTIONS.behaviours, one_slot=True)
    every = Histories.collect(rows, 1000, ACTIONS.behaviours)
    assert list(log.users) == list(every.users)
    for place in range(len(log)):
        kept = history(log, place)
        assert len({b.item_id for b in kept}) == len(kept)
        assert kept == recent(history(every, place), limit, ACTIONS.behaviours, one_slot=True)


@given(ROWS)
def test_equal_logs_have_equal_digests_and_others_do_not(rows: list[LogRow]) -> None:
    def digest(log: list[LogRow]) -> str:
        return digest_of(*Histories.collect(log, 5, ACTIONS.behaviours).parts())

    assert digest(rows) == digest(list(rows))
    assert digest(rows) != digest([*rows, ("x", "a", "click", START)])


def test_the_head_of_a_log_in_normal_form() -> None:
    log = ["Red  Shoes", "cup", "", "red shoes", "CUP", "cup", " ", "boots", "x" * 600]
    assert head_queries(log) == ["cup", "red shoes", "boots"]
    assert head_queries(log, 2) == ["cup", "red shoes"]
    assert head_queries([]) == []


def test_queries_of_like_length_stand_together_and_the_head_stays_in_front() -> None:
    queries = [f"{'long ' * (n % 7)}query {n}" for n in range(20_000)]
    ordered = by_length(queries)
    assert sorted(ordered) == sorted(queries)
    assert set(ordered[:8192]) == set(queries[:8192])
    lengths = [len(query) for query in ordered[:8192]]
    assert lengths == sorted(lengths)
