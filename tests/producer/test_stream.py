"""What an entry of the behaviour stream must say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.actions import ACTIONS
from artifacts.bundle.portrait import Behaviour
from producer.stream import REASONS, MalformedEntryError, parse

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
GOOD = {b"user": b"u", b"item": b"i", b"action": b"click", b"ts": b"2026-06-01T10:00:00Z"}
ID = b"1780315200123-4"


def test_a_behaviour() -> None:
    expected = ("u", Behaviour("i", "click", datetime(2026, 6, 1, 10, tzinfo=UTC)))
    assert parse((ID, GOOD), NOW) == expected
    assert parse((ID, GOOD | {b"ts": b"2026-06-01T12:00:00+02:00", b"query": b"\xff"}), NOW) == expected


def test_without_a_time_it_happened_when_it_arrived_however_often_it_is_read() -> None:
    entry = (ID, {key: value for key, value in GOOD.items() if key != b"ts"})
    first, second = parse(entry, NOW), parse(entry, NOW + timedelta(hours=1))
    assert first == second
    assert first is not None
    assert first[1].ts == datetime(2026, 6, 1, 12, 0, 0, 123_000, tzinfo=UTC)


def test_an_impression_is_no_behaviour() -> None:
    assert parse((ID, GOOD | {b"action": b"impression"}), NOW) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({b"user": None}, "user"),
        ({b"user": b""}, "user"),
        ({b"user": b"u" * 129}, "user"),
        ({b"item": None}, "item"),
        ({b"item": "é".encode() * 129}, "item"),
        ({b"item": b"\xff\xfe"}, "encoding"),
        ({b"action": None}, "action"),
        ({b"action": b"stare"}, "action"),
        ({b"ts": b""}, "ts"),
        ({b"ts": b"yesterday"}, "ts"),
        ({b"ts": b"2026-06-01T10:00:00"}, "ts"),
        ({b"ts": b"2026-06-03T10:00:00Z"}, "ts"),
        ({b"ts": b"0001-01-01T00:00:00+14:00"}, "ts"),
    ],
)
def test_what_is_malformed_is_told_by_its_field(change: dict[bytes, bytes | None], reason: str) -> None:
    fields = {key: value for key, value in (GOOD | change).items() if value is not None}
    with pytest.raises(MalformedEntryError) as caught:
        parse((ID, fields), NOW)
    assert caught.value.reason == reason


@given(
    st.dictionaries(
        st.sampled_from([b"user", b"item", b"action", b"ts"]),
        st.binary(max_size=30) | st.sampled_from([b"click", b"u", b"2026-05-01T00:00:00Z", b"20260501"]),
    )
)
def test_any_entry_is_a_behaviour_or_malformed(fields: dict[bytes, bytes]) -> None:
    try:
        parsed = parse((ID, fields), NOW)
    except MalformedEntryError as error:
        reason = error.reason
    else:
        reason = "action"
        assert parsed is None or parsed[1].action in ACTIONS.behaviours
    assert reason in REASONS
