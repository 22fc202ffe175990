"""Held-out requests: numbers, grades, histories without the search itself, traffic."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from artifacts.shop.schema import Event, Item, ShopSchema
from artifacts.shop.shop import Shop
from artifacts.shop.writer import ShopWriter
from models.evaluation.grades import open_grades
from models.evaluation.heldout import HeldOut, Request, read_requests
from tests.models.evaluation.requests import NOW, ROWS, Graded, request


def test_requests_are_numbered_by_what_was_asked() -> None:
    held_out = HeldOut.number(
        [
            request("Red", "a"),
            request("red ", "b"),
            request("blue", "z"),
            request("", "a", "u1", "browse"),
            request("", "a", "u2", "browse"),
        ],
        ROWS,
        None,
    )
    assert held_out.query.tolist() == [0, 0, 1, 2]
    assert held_out.wanted.tolist() == [0, 1, 0, 0]
    assert [places.tolist() for places in held_out.by_query] == [[0, 1], [2], [3]]
    assert (held_out.queries, held_out.gains) == (3, "clicks")


def test_of_browsing_no_grade_is_known() -> None:
    held_out = HeldOut.number([request("red", "a"), request("red", "a", "u", "browse")], ROWS, Graded())
    assert held_out.known_grades(0) is not None
    assert held_out.known_grades(1) is None
    assert held_out.gains == "judge"


def _shop(folder: Path, events: Sequence[Event]) -> Shop:
    with ShopWriter(folder / "shop", ShopSchema("small")) as writer:
        for name in ROWS:
            writer.add_item(Item(name, f"title {name}", "Things"))
        for event in events:
            writer.add_event(event)
    return Shop.open(folder / "shop")


def _minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def _requests(shop: Shop, minutes: float) -> list[Request]:
    return read_requests(
        shop, "test", depth=5, held_out=0.05, same_item_days=1.0, same_search_minutes=minutes
    )


def test_what_was_done_for_the_same_search_is_no_history(tmp_path: Path) -> None:
    events = [
        Event(NOW, "a", "click", "mug", "u", split="train"),
        Event(NOW + _minutes(5), "b", "click", "red mug", "u", split="test"),
        Event(NOW + _minutes(6), "c", "click", "Red  mug", "u", split="test"),
    ]
    shop = _shop(tmp_path, events)
    first, second = _requests(shop, 60)
    assert [b.item_id for b in first.history] == ["a"]
    assert [b.item_id for b in second.history] == ["a"]
    assert [b.item_id for b in _requests(shop, 0)[1].history] == ["b", "a"]


def test_an_item_has_one_place_where_the_bundle_says_so(tmp_path: Path) -> None:
    done = [("a", "click"), ("b", "click"), ("a", "cart"), ("c", "click"), ("a", "order")]
    events = [
        Event(NOW + _minutes(n), item, action, "mug", "u", split="train")
        for n, (item, action) in enumerate(done)
    ]
    shop = _shop(tmp_path, [*events, Event(NOW + _minutes(500), "d", "click", "cup", "u", split="test")])
    own = {"depth": 3, "held_out": 0.05, "same_item_days": 1.0}
    (request,) = read_requests(shop, "test", **own, one_slot=True)
    assert [(b.item_id, b.action) for b in request.history] == [
        ("a", "order"),
        ("c", "click"),
        ("b", "click"),
    ]
    (request,) = read_requests(shop, "test", **own)
    assert [b.item_id for b in request.history] == ["a", "c", "a"]


def test_traffic_counts_searches_and_not_clicks(tmp_path: Path) -> None:
    events = [
        Event(NOW, "a", "click", "mug", "u", split="test"),
        Event(NOW + _minutes(1), "b", "click", "mug", "u", split="test"),
        Event(NOW + _minutes(500), "a", "click", "mug", "u", split="test"),
        Event(NOW, "c", "click", "mug", "v", split="test"),
        Event(NOW, "c", "click", "cup", "v", split="test"),
        Event(NOW, "d", "click", "cup", None, split="test"),
        Event(NOW, "a", "click", "cup", None, split="test"),
    ]
    held_out = HeldOut.number(_requests(_shop(tmp_path, events), 0), ROWS, None)
    assert held_out.traffic.tolist() == [3.0, 3.0]


def test_labels_of_the_train_split_judge_nothing(tmp_path: Path) -> None:
    events = [
        Event(NOW, "a", "impression", "mug", "u", relevance=0.1, split="train"),
        Event(NOW, "b", "click", "mug", "u", relevance=0.9, split="test"),
        Event(NOW, "c", "click", "cup", "u", relevance=0.8, split="train"),
    ]
    grades = open_grades(_shop(tmp_path, events), ROWS, "test", 0.05)
    assert grades is not None
    found = grades.catalogue_grades("mug", None)
    assert found is not None
    assert (found > 0).tolist() == [False, True, False, False]
    assert grades.catalogue_grades("cup", None) is None
