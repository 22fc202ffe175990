"""Previews of a shop's items, written and read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from artifacts.previews import Preview, Previews
from artifacts.shop.previews import LEAST_USERS, frequent_queries, write_previews
from artifacts.shop.schema import Event, Item, ShopSchema
from artifacts.shop.shop import Shop
from artifacts.shop.writer import ShopWriter

_SCHEMA = ShopSchema("acme", {"price": "number", "tags": "list"})


def _write(path: Path, events: list[Event]) -> Path:
    with ShopWriter(path, _SCHEMA) as writer:
        writer.add_item(
            Item("a", "Red mug", "Mugs", picture="a.jpg", attributes={"price": 4.5, "tags": None})
        )
        writer.add_item(Item("b ☂", "Blue mug", attributes={"price": None, "tags": ["sale"]}))
        for event in events:
            writer.add_event(event)
    return path


def test_rows_are_read_by_id_and_by_place(tmp_path: Path) -> None:
    write_previews(_write(tmp_path / "shop", []), tmp_path / "p.arrow", examples=[{"query": "mug"}])
    previews = Previews.open(tmp_path / "p.arrow")
    red = Preview(0, "Red mug", "Mugs", "a.jpg", b'{"price":4.5}')
    blue = Preview(1, "Blue mug", "", "", b'{"tags":["sale"]}')
    assert previews.rows == 2
    assert previews.of(["b ☂", "a", "a", "nobody", ""]) == {"a": red, "b ☂": blue}
    assert previews.of([]) == {}
    assert [previews.at("a", row) for row in (0, 1, 2, -1, None)] == [red] * 5
    assert previews.at("", 2) is None, "the row about the shop is no item"
    assert previews.pictures == (tmp_path / "shop" / "pictures").resolve()
    assert previews.about["name"] == "acme"
    assert (previews.about["items"], previews.about["examples"]) == (2, [{"query": "mug"}])


def test_what_holds_no_previews_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"something else")
    with pytest.raises(OSError, match="other holds no previews of items"):
        Previews.open(tmp_path / "other")


def _event(query: str, user: str | None, action: str = "click") -> Event:
    return Event(datetime(2026, 11, 1, tzinfo=UTC), "a", action, query, user)


def test_examples_are_queries_that_many_people_typed(tmp_path: Path) -> None:
    people = [f"u{n}" for n in range(LEAST_USERS)]
    events = [_event("mug", user) for user in people] + [_event("red mug", user) for user in people] * 2
    events += [_event("my secret", user) for user in people[1:]] + [_event("my secret", None)] * 9
    events += [_event("only seen", user, "impression") for user in people]
    shop = Shop.open(_write(tmp_path / "shop", events))
    assert frequent_queries(shop) == [
        {"label": "red mug", "query": "red mug"},
        {"label": "mug", "query": "mug"},
    ]


def test_a_log_that_cannot_be_read_leaves_the_shop_without_examples(tmp_path: Path) -> None:
    path = _write(tmp_path / "shop", [_event("mug", "u1")])
    next(path.glob("events.*")).write_bytes(b"PAR1 and no more")
    write_previews(path, tmp_path / "p.arrow")
    assert Previews.open(tmp_path / "p.arrow").about["examples"] == []
