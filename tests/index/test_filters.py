from __future__ import annotations

import contextlib
import math
import operator
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.embeddings import ATTRIBUTES, random_items
from index.filters import (
    MAX_FIELDS,
    MAX_VALUES,
    AnyOf,
    Condition,
    Filter,
    FilterError,
    Not,
    Range,
    category_prefixes,
    evaluate,
    fold,
    parse_filter,
    terms,
)
from tests.support.reference import accepts, raw_filters

KINDS = {**ATTRIBUTES, "category": "list"}
ITEMS = random_items(60, seed=3)


def _accepts(accepted: Filter | None, item: dict[str, Any]) -> bool:
    """The parsed form over one item: what an engine has to make of it."""

    def holds(condition: Condition) -> bool:
        value = item.get(condition.field)
        if isinstance(condition, AnyOf):
            held = terms(condition.field, value) if isinstance(value, str | list) else [value]
            return any(each in condition.values for each in held if each is not None)
        if value is None:
            return False
        above = condition.low is None or value > condition.low
        below = condition.high is None or value < condition.high
        at_low = value == condition.low and not condition.low_open
        at_high = value == condition.high and not condition.high_open
        return (above or at_low) and (below or at_high)

    return accepted is None or evaluate(accepted, holds, operator.not_, operator.and_)


@given(raw=raw_filters, item=st.sampled_from(ITEMS))
def test_the_parsed_form_means_what_the_request_says(raw: dict[str, Any], item: dict[str, Any]) -> None:
    assert _accepts(parse_filter(raw, KINDS), item) == accepts(raw, item)


@given(raw=raw_filters, seed=st.randoms())
def test_equal_filters_are_equal_keys(raw: dict[str, Any], seed: Any) -> None:
    def scrambled(value: Any) -> Any:
        if isinstance(value, list):
            return seed.sample(value * 2, len(value) * 2)
        if isinstance(value, dict):
            return {key: scrambled(value[key]) for key in seed.sample(list(value), len(value))}
        if isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        return value.swapcase() if isinstance(value, str) and value.isascii() else value

    one, other = parse_filter(raw, KINDS), parse_filter(scrambled(raw), KINDS)
    assert one == other
    assert hash(one) == hash(other)


def test_the_canonical_form() -> None:
    raw = {"tags": ["b", "A", "a"], "price": {"lt": 5, "gte": -0.0}, "brand": {"not": "Acme"}}
    assert parse_filter(raw, KINDS) == Filter(
        (Not(AnyOf("brand", ("acme",))), Range("price", 0.0, False, 5.0, True), AnyOf("tags", ("a", "b")))
    )
    assert parse_filter({}, KINDS) is None
    tighter = {"price": {"gt": 2, "gte": 2, "lt": 9, "lte": 7}}
    assert parse_filter(tighter, KINDS) == Filter((Range("price", 2.0, True, 7.0, False),))


@pytest.mark.parametrize(
    ("raw", "field", "message"),
    [
        ({"prise": 1}, "prise", "'prise' is not an attribute of this index; known are brand, category"),
        ({"price": "12"}, "price", "price is a number; got a string"),
        ({"price": True}, "price", "price is a number; got true or false"),
        ({"price": None}, "price", "price is a number; got null"),
        ({"price": [1, [2]]}, "price", "price is a number; got a list"),
        ({"price": [1, {"gte": 2}]}, "price", "price is a number; got an object"),
        ({"price": math.nan}, "price", "price is a number; got one that is not finite"),
        ({"price": {"lte": math.inf}}, "price", "price is a number; got one that is not finite"),
        ({"price": 10**400}, "price", "price is a number; got one that is not finite"),
        ({"price": {}}, "price", "price has a range without bounds; give one of gt, gte, lt, lte"),
        ({"price": {"not": {}}}, "price", "price has a range without bounds"),
        ({"price": {"lt": None}}, "price", "price is a number; got null"),
        (
            {"price": {"less": 3}},
            "price",
            "price has an unknown operator 'less'; known are gt, gte, lt, lte, not",
        ),
        ({"price": {"not": 3, "lt": 2}}, "price", "price: not stands alone"),
        ({"price": {"not": {"not": 3}}}, "price", "price has a not within a not"),
        ({"price": []}, "price", "price has an empty list; name at least one value"),
        ({"price": {"not": []}}, "price", "price has an empty list"),
        ({"in_stock": 1}, "in_stock", "in_stock is true or false; got a number"),
        ({"in_stock": "yes"}, "in_stock", "in_stock is true or false; got a string"),
        ({"in_stock": {"gte": 0}}, "in_stock", "in_stock is true or false; a range needs a number"),
        ({"brand": 7}, "brand", "brand is a string; got a number"),
        ({"brand": {"gte": "a"}}, "brand", "brand is a string; a range needs a number"),
        ({"brand": "\ud800"}, "brand", "brand has a string with half a surrogate pair"),
        ({"tags": {"lt": 3}}, "tags", "tags is a list of strings; a range needs a number"),
        ({"tags": [["a"]]}, "tags", "tags is a list of strings; got a list"),
        ({"category": 4}, "category", "category is a list of strings; got a number"),
        ({"price": list(range(MAX_VALUES + 1))}, "price", f"price has 1001 values; at most {MAX_VALUES}"),
        ({f"f{n}": 1 for n in range(MAX_FIELDS + 1)}, "filters", f"at most {MAX_FIELDS} are allowed"),
        ({"tags": ["a"] * 600, "brand": {"not": ["a"] * 401}}, "filters", "filters has 1001 values; at most"),
        ({"brand": "a" * 513}, "brand", "brand has a value of 513 characters; at most 512 are allowed"),
        ({"brand": {"not": ["b", "a" * 513]}}, "brand", "brand has a value of 513 characters"),
        ({"category": "a>" * 16}, "category", "category has 17 levels; at most 16 are allowed"),
        ({"tags": ["a" * 512] * 65}, "filters", "filters has 33280 characters; at most 32768 are allowed"),
    ],
)
def test_an_error_names_the_field_and_what_was_expected(
    raw: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter(raw, KINDS)
    assert caught.value.field == field
    assert message in str(caught.value)


def test_a_long_name_is_cut_in_the_message() -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter({"x" * 10_000: 1}, KINDS)
    assert len(str(caught.value)) < 200


words = st.sampled_from(["", "acme", "É", "gte", "\ud800"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
operators = st.dictionaries(st.sampled_from(["not", "gt", "gte", "lt", "lte", "eq"]), json_values, max_size=3)


@given(st.dictionaries(st.sampled_from([*KINDS, "other"]), json_values | operators))
def test_whatever_comes_is_parsed_or_refused(raw: dict[str, Any]) -> None:
    try:
        parsed = parse_filter(raw, KINDS)
    except FilterError as error:
        assert error.field in raw  # noqa: PT017 -- either outcome is right
    else:
        assert (parsed is None) == (not raw)
        hash(parsed)


def test_the_largest_filters_cost_milliseconds() -> None:
    marks = ["\u0316\u0301" * 256, "\u0344" * 512, "\ufdfa" * 512, "\u1f82" * 512]
    worst = [
        {"category": "a>" * 60_000},
        {"brand": "a" + marks[0] * 3_500},
        {"category": [" > ".join(["ŉ" * 28] * 16)] * 64},
        {"tags": [mark[:-2] + f"{number:02}" for number in range(16) for mark in marks]},
        {"tags": [f"{number:032}" for number in range(1000)]},
    ]
    for raw in worst:
        began = time.thread_time()
        with contextlib.suppress(FilterError):
            parse_filter(raw, KINDS)
        assert time.thread_time() - began < 0.5  # a hundred times less than each took without bounds


@given(one=raw_filters, other=raw_filters)
def test_keys_are_equal_where_filters_are(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = parse_filter(one, KINDS), parse_filter(other, KINDS)
    if first is not None and second is not None:
        assert (first.key == second.key) == (first == second)
        assert len(first.key) == 16


def test_folding_is_unicodes_caseless_match() -> None:
    assert fold("STRASSE") == fold("straße")
    assert fold("É") == fold("e\u0301") == "é"
    assert fold("Acme") == "acme"


def test_category_prefixes() -> None:
    assert category_prefixes("Shoes > Running >Trail") == [
        "shoes",
        "shoes > running",
        "shoes > running > trail",
    ]
    assert category_prefixes("") == category_prefixes(" > ") == []
    assert category_prefixes("a>" * 8_000)[-1] == " > ".join("a" * 16)  # of an index that was built before
    accepted = parse_filter({"category": "shoes>RUNNING"}, KINDS)
    assert accepted == Filter((AnyOf("category", ("shoes > running",)),))
