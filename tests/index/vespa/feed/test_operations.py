"""Operations: what people give is checked, and what Vespa gets keeps the rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from index.vespa import names
from index.vespa.feed.operations import ItemRefused, Operation, Operations
from index.vespa.tensors import parse_float16_hex
from index.vespa.text import folded_of
from index.vespa.words import TextSpec
from tests.index.vespa import rules
from tests.index.vespa.answers import VERSION

VECTOR = np.eye(1, 8, dtype=np.float32)[0]


def operations() -> Operations:
    return Operations(VERSION)


def put(item: str, version: int, **attributes: Any) -> Operation:
    return operations().put(item, VECTOR, attributes, version)


def test_the_vector_of_a_graph_over_int8_is_fed_beside_the_embedding() -> None:
    coarse = Operations(replace(VERSION, vectors="int8"))
    fields = coarse.put("a", 0.25 * VECTOR, {}, 7).fields
    assert (fields[names.COARSE], fields[names.EMBEDDING]) == ("7f" + "00" * 7, "3f80" + "0000" * 7)
    rules.document_fields(fields, VERSION.attributes, 8, whole=True)
    assert names.COARSE not in operations().put("a", VECTOR, {}, 7).fields
    assert names.COARSE not in coarse.update("a", {"price": 1.0}, 8).fields


def test_item_features_are_fed_to_the_bit_where_the_version_keeps_them() -> None:
    keeps = Operations(replace(VERSION, features=(2, 3)))
    features = np.array([[0.1, -2.0, 65504.0], [1e-7, 0.0, 3.0]], np.float16)
    fields = keeps.put("a", VECTOR, {names.ITEM_FEATURES: features.tolist()}, 7).fields
    assert fields[names.FEATURES] == features.astype(">f2").tobytes().hex()
    assert parse_float16_hex(fields[names.FEATURES], (2, 3)).tolist() == features.tolist()
    assert names.FEATURES not in operations().put("a", VECTOR, {names.ITEM_FEATURES: features}, 7).fields
    assert names.FEATURES not in keeps.put("a", VECTOR, {}, 7).fields
    for wrong in (features[:1], "nonsense", [[1.0, 2.0, float("nan")]] * 2, [[1.0, 2.0, 7e4]] * 2):
        with pytest.raises(ItemRefused, match="item features"):
            keeps.put("a", VECTOR, {names.ITEM_FEATURES: wrong}, 7)  # type: ignore[dict-item]


def test_titles_are_fed_where_the_version_keeps_them() -> None:
    titled = replace(VERSION, texts=TextSpec(("title", "category"), "english"), titles=True)
    said = {names.TEXTS: {"title": "Café \x00 " + "x" * 600}, "category": ""}
    (fed,) = [Operations(titled).put("a", VECTOR, said, 7).fields[names.TITLE]]
    assert folded_of(fed) == ("Café \x00 " + "x" * 600)[:512]
    assert names.TITLE not in Operations(replace(titled, titles=False)).put("a", VECTOR, said, 7).fields
    assert Operations(titled).update("a", said, 8).fields[names.TITLE] == {"assign": fed}
    gone = {names.TEXTS: {"title": ""}, "category": ""}
    assert Operations(titled).update("a", gone, 9).fields[names.TITLE] == {"assign": None}
    assert names.TITLE not in Operations(titled).update("a", {"price": 1.0}, 9).fields


def test_a_put_has_everything_and_nothing_missing() -> None:
    operation = put(
        "a", 7, brand="ÉCLAIR", price=3, in_stock=False, tags=["Red", ""], category=["shoes", "shoes > x"]
    )
    assert operation.fields == {
        "item_id": "a",
        "embedding": "3f80" + "0000" * 7,
        "feed_ver": 7,
        "brand": "éclair",
        "price": 3.0,
        "in_stock": False,
        "tags": ["red", "\ue000"],
        "category": ["shoes", "shoes > x"],
        "known_bools": {"in_stock": 1},
    }
    assert set(put("a", 7, brand=None, price=float("nan"), in_stock=None, tags=[]).fields) == {
        "item_id",
        "embedding",
        "feed_ver",
    }


def test_an_update_touches_no_vector() -> None:
    operation = operations().update("a", {"price": 2, "in_stock": True, "brand": None}, 9)
    assert operation.fields == {
        "price": {"assign": 2.0},
        "in_stock": {"assign": True},
        "brand": {"assign": None},
        "feed_ver": {"assign": 9},
        "known_bools": {"add": {"in_stock": 1}},
    }
    assert operations().update("a", {"in_stock": None}, 9).fields["known_bools"] == {
        "remove": {"in_stock": 0}
    }


def test_requests_carry_their_condition() -> None:
    make = operations()
    request = make.request(put("a b/c?d=e&f#g%", 7), 2.0)
    assert request.method == "POST"
    assert request.path == (
        "/document/v1/mrse/item_demo_0123abcd/docid/a%20b%2Fc%3Fd%3De%26f%23g%25"
        "?condition=item_demo_0123abcd.feed_ver%20%3C%207&timeout=2000ms&create=true"
    )
    assert "create" not in make.request(make.update("a", {"price": 1.0}, 8), 2.0).path
    request = make.request(make.remove("a", 8), 2.0)
    assert (request.method, request.body) == ("DELETE", None)
    assert "feed_ver%20%3C%208" in request.path


@pytest.mark.parametrize(
    "attributes",
    [
        {"price": "12.5"},
        {"price": True},
        {"price": float("inf")},
        {"in_stock": 1},
        {"in_stock": "yes"},
        {"brand": 7},
        {"tags": "red"},
        {"tags": [1]},
        {"category": 7},
        {"colour": "red"},
        {"brand": "a" * 513},
        {"category": "a>" * 16},
        {"tags": ["a"] * 1001},
    ],
)
def test_values_that_vespa_would_misread_are_not_fed(attributes: dict[str, Any]) -> None:
    with pytest.raises(ItemRefused):
        operations().put("a", VECTOR, attributes, 1)
    with pytest.raises(ItemRefused):
        operations().update("a", attributes, 1)


def test_a_vector_of_another_width_is_not_fed() -> None:
    with pytest.raises(ItemRefused, match="shape"):
        operations().put("a", VECTOR[:7], {}, 1)


@pytest.mark.parametrize("item_id", [".", ".."])
def test_ids_that_a_url_would_lose_are_not_fed(item_id: str) -> None:
    with pytest.raises(ItemRefused, match="cannot have the id"):
        put(item_id, 1)
    with pytest.raises(ItemRefused, match="cannot have the id"):
        operations().remove(item_id, 1)
    assert operations().remove("...", 1).item_id == "..."


@pytest.mark.parametrize("feed_ver", [0, -1, 1 << 63])
def test_feed_versions_that_cannot_be(feed_ver: int) -> None:
    with pytest.raises(ItemRefused, match="64-bit"):
        operations().update("a", {"price": 1.0}, feed_ver)


_values: dict[str, st.SearchStrategy[Any]] = {
    "brand": st.text(),
    "price": st.one_of(st.floats(allow_nan=True, allow_infinity=False), st.integers(-(2**53), 2**53)),
    "in_stock": st.booleans(),
    "tags": st.lists(st.text(), max_size=4),
    "category": st.lists(st.text(), max_size=4),
}


_attributes = st.fixed_dictionaries(
    {}, optional={name: st.one_of(st.none(), values) for name, values in _values.items()}
)


@given(
    attributes=_attributes,
    vector=hnp.arrays(np.float32, 8, elements=st.floats(0.125, 100, width=32)),
    feed_ver=st.integers(1, (1 << 63) - 1),
)
def test_what_is_fed_keeps_the_rules(attributes: dict[str, Any], vector: np.ndarray, feed_ver: int) -> None:
    kinds = VERSION.attributes
    fields = operations().put("a", vector, attributes, feed_ver).fields
    rules.document_fields(fields, kinds, 8, whole=True)
    if attributes:
        changed = operations().update("a", attributes, feed_ver).fields
        assert names.EMBEDDING not in changed
        given_ = {name: change["assign"] for name, change in changed.items() if "assign" in change}
        values = {name: value for name, value in given_.items() if value is not None}
        rules.document_fields(values, kinds, 8, whole=False)


@pytest.mark.parametrize("item", ["", "x" * 129, "a\x00b", "a\ufffe", 7])
def test_ids_that_cannot_be(item: Any) -> None:
    with pytest.raises(ItemRefused):
        operations().put(item, VECTOR, {}, 1)


def test_words_are_cut_here_and_change_all_together() -> None:
    texts = TextSpec(("title", "category", "brand"), "english")
    wordy = Operations(replace(VERSION, texts=texts))
    said = {"title": "Running shoes 500 ml", "description": "is not read"}
    made = wordy.put("a", VECTOR, {names.TEXTS: said, "category": "Shoes > Red", "brand": "ACME"}, 7)
    assert made.fields["item_words"] == ["run", "shoe", "500ml", "shoe", "red", "acm"]
    assert "item_words" not in operations().put("a", VECTOR, {names.TEXTS: said}, 7).fields
    assert "item_words" not in wordy.put("a", VECTOR, {}, 7).fields
    whole = {names.TEXTS: {"title": "Boots"}, "category": "", "brand": None}
    assert wordy.update("a", whole, 8).fields["item_words"] == {"assign": ["boot"]}
    assert "item_words" not in wordy.update("a", {"brand": "zebra"}, 8).fields
    with pytest.raises(ItemRefused, match="changed all together; category, brand is not given"):
        wordy.update("a", {names.TEXTS: {"title": "Boots"}}, 8)
    for wrong in ({"titel": "x"}, {"title": 7}, {"title": "x" * 20_000}):
        with pytest.raises(ItemRefused, match="text"):
            wordy.put("a", VECTOR, {names.TEXTS: wrong}, 7)
