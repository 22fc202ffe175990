"""Changes of an item in any order, any of them twice, come to the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.vespa import names
from index.vespa.feed.merged import Change, Merged
from index.vespa.feed.operations import ItemRefused, Operations
from index.vespa.words import TextSpec
from tests.index.vespa.answers import VERSION

VECTOR = [1.0] + [0.0] * 7

_attributes = st.dictionaries(st.sampled_from(["price", "in_stock"]), st.integers(1, 9), min_size=1)


@st.composite
def changes(draw: st.DrawFn) -> list[Change]:
    kinds = draw(st.lists(st.sampled_from(["put", "update", "remove"]), max_size=8))
    made: list[Change] = []
    for version, kind in enumerate(kinds, 1):
        attributes: dict[str, Any] = {} if kind == "remove" else draw(_attributes)
        vector = [float(version)] * 8 if kind == "put" else None
        made.append(Change(kind, "a", version, attributes, vector))  # type: ignore[arg-type]
    return made


def merge(given_: list[Change]) -> Merged:
    merged = Merged()
    for change in given_:
        merged = merged.with_change(change)
    return merged


def test_an_update_after_a_put_leaves_what_was_put_with_the_vector_alone() -> None:
    operations = Operations(replace(VERSION, picture_dim=2, features=(1, 2)))
    whole = {"price": 1.0, names.PICTURE_FEATURE: [1.0, 0.0], names.ITEM_FEATURES: [[0.5, 2.0]]}
    merged = merge([Change("put", "a", 1, whole, VECTOR), Change("update", "a", 2, {"price": 2.0})])
    update = merged.operation(operations, "a", whole=False)
    assert (update.kind, set(update.fields)) == ("update", {"feed_ver", "price"})
    assert {names.PICTURE, names.FEATURES} <= merged.operation(operations, "a").fields.keys()


def test_what_was_taken_is_sent_though_alone_it_would_be_refused_now() -> None:
    operations = Operations(replace(VERSION, texts=TextSpec(("title", "category"), "english")))
    wide = {"tags": ["x" * 400] * 100, names.TEXTS: {"title": "shoe"}}
    merged = merge([Change("put", "a", 1, wide, VECTOR), Change("update", "a", 2, {"price": 2.0})])
    for whole in (True, False):
        fields = merged.operation(operations, "a", whole=whole).fields
        assert {"tags", names.WORDS, "price"} <= fields.keys()
    for refused in ({"tags": wide["tags"]}, {names.TEXTS: {"title": "shoe"}}):
        with pytest.raises(ItemRefused):
            operations.update("a", refused, 3)


@given(changes(), st.randoms())
def test_order_and_repetition_do_not_matter(given_: list[Change], random: Any) -> None:
    shuffled = given_ + [change for change in given_ if random.random() < 0.5]
    random.shuffle(shuffled)
    assert merge(shuffled) == merge(given_)
    assert Merged.from_json(merge(given_).to_json()) == merge(given_)


def test_what_is_sent_says_all_that_changed() -> None:
    operations = Operations(VERSION)
    merged = merge([Change("update", "a", 8, {"price": 2.0}), Change("update", "a", 7, {"in_stock": True})])
    sent = merged.operation(operations, "a")
    assert (sent.kind, sent.feed_ver, sent.again) == ("update", 8, True)
    assert sent.fields["price"] == {"assign": 2.0}
    assert sent.fields["in_stock"] == {"assign": True}
    row = (np.eye(1, 8, dtype=np.float32)[0], {"price": 1.0, "brand": "x"})
    put = merged.operation(operations, "a", row)
    assert (put.kind, put.fields["price"], put.fields["brand"]) == ("put", 2.0, "x")
    gone = merged.with_change(Change("remove", "a", 9))
    assert gone.operation(operations, "a", row).kind == "remove"
    back = gone.with_change(Change("put", "a", 10, {"price": 3.0}, VECTOR))
    assert back.operation(operations, "a", row).fields["price"] == 3.0
    assert "brand" not in back.operation(operations, "a", row).fields


@pytest.mark.parametrize("kind", ["put", "remove"])
def test_an_older_change_of_the_whole_item_is_nothing(kind: Any) -> None:
    merged = merge([Change("put", "a", 5, {"price": 1.0}, VECTOR), Change("update", "a", 6, {"price": 2.0})])
    assert merged.with_change(Change(kind, "a", 4, {}, VECTOR if kind == "put" else None)) == merged
