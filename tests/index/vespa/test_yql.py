"""Filters as YQL: each means what it says, and values stay values."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.filters import parse_filter
from index.vespa import yql
from index.vespa.text import term
from tests.index.vespa.answers import (
    VERSION,
)

ATTRIBUTES = VERSION.attributes


def where(raw: dict[str, Any]) -> str:
    filters = parse_filter(raw, ATTRIBUTES)
    assert filters is not None
    return yql.where(filters)


CLAUSES: dict[str, tuple[Any, str]] = {
    "string": ({"brand": "Acme"}, 'brand contains "acme"'),
    "strings": ({"brand": ["b", "a"]}, 'brand in ("a", "b")'),
    "not": ({"brand": {"not": "a"}}, '!(brand contains "a")'),
    "none of": ({"tags": {"not": ["a", "b"]}}, '!(tags in ("a", "b"))'),
    "empty string": ({"brand": ""}, 'brand contains "\\ue000"'),
    "category": ({"category": "Shoes > Running"}, 'category contains "shoes > running"'),
    "number": ({"price": 12}, "price = 12.0"),
    "numbers": ({"price": [1, -2.5]}, "(price = -2.5 or price = 1.0)"),
    "not numbers": ({"price": {"not": [1, 2]}}, "!((price = 1.0 or price = 2.0))"),
    "small": ({"price": 1e-7}, "price = 1.0e-07"),
    "large": ({"price": {"gt": 1e22}}, "price > 1.0e+22"),
    "from": ({"price": {"gte": 1}}, "price >= 1.0"),
    "to": ({"price": {"lte": 1}}, "price <= 1.0"),
    "closed": ({"price": {"gte": 1, "lte": 2}}, "range(price, 1.0, 2.0)"),
    "open": ({"price": {"gt": 1, "lt": 2}}, '({bounds:"open"}range(price, 1.0, 2.0))'),
    "left open": ({"price": {"gt": 1, "lte": 2}}, '({bounds:"leftOpen"}range(price, 1.0, 2.0))'),
    "tighter": (
        {"price": {"gt": 1, "gte": 3, "lt": 9, "lte": 9}},
        '({bounds:"rightOpen"}range(price, 3.0, 9.0))',
    ),
    "empty": ({"price": {"gt": 2, "lt": 1}}, "(price > 2.0 and price < 1.0)"),
    "a point": ({"price": {"gte": 1, "lte": 1}}, "(price >= 1.0 and price <= 1.0)"),
    "no point": ({"price": {"gt": 1, "lt": 1}}, "(price > 1.0 and price < 1.0)"),
    "true": ({"in_stock": True}, "in_stock = true"),
    "false": ({"in_stock": False}, '(in_stock = false and known_bools contains "in_stock")'),
    "all": ({"brand": "a", "in_stock": True}, 'brand contains "a" and in_stock = true'),
}


@pytest.mark.parametrize("name", CLAUSES)
def test_filters_as_yql(name: str) -> None:
    raw, expected = CLAUSES[name]
    assert where(raw) == expected


LITERAL = re.compile(r'"([A-Za-z0-9 _\-.,:;+=/>]|\\u[0-9a-f]{4})*"')


@given(st.text())
def test_a_literal_cannot_end_early(value: str) -> None:
    literal = yql.string_literal(value)
    assert LITERAL.fullmatch(literal)
    units = re.sub(r"\\u([0-9a-f]{4})", lambda m: chr(int(m[1], 16)), literal[1:-1])
    assert units.encode("utf-16", "surrogatepass").decode("utf-16") == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_written_in_full(value: float) -> None:
    literal = yql.number_literal(value)
    assert re.fullmatch(r"-?[0-9]+\.[0-9]+(e[-+][0-9]+)?", literal)
    assert float(literal) == value


@given(st.text())
def test_stored_and_asked_for_alike(value: str) -> None:
    assert where({"brand": value}) == f"brand contains {yql.string_literal(term(value))}"
