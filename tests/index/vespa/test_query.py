"""What is sent: one document type, hex tensors, one kind of target hits, values that stay values."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from common.deadline import Deadline
from devtools.vespa_fakes.fault_server import FaultServer, answer, hang
from index.filters import AnyOf, Filter, parse_filter
from index.vespa import names, yql
from index.vespa.client import VespaIndex
from index.vespa.errors import TimedOut, VersionMismatch
from index.vespa.query import QueryBuilder
from index.vespa.text import EMPTY, term
from tests.index.vespa import rules
from tests.index.vespa.answers import (
    COVERAGE,
    GOOD,
    TYPE,
    VERSION,
    error,
    hit,
    root,
    settings,
)
from tests.support.reference import raw_filters

ATTRIBUTES = VERSION.attributes
E0 = np.eye(1, 8, dtype=np.float32)[0]


def builder(target_hits_factor: float = 1.0) -> QueryBuilder:
    return QueryBuilder(VERSION, target_hits_factor)


def test_a_search_for_one_vector() -> None:
    body = builder().nearest(E0, 200, None, 0.1)
    assert body == {
        "yql": "select item_id from sources * where ({targetHits:200}nearestNeighbor(embedding, q))",
        "hits": 200,
        "timeout": "100ms",
        "model.restrict": TYPE,
        "ranking.profile": "q2i",
        "ranking.matching.anntimebudget": "70ms",
        "ranking.softtimeout.enable": "true",
        "presentation.summary": "ids",
        "input.query(q)": "3f800000" + "00000000" * 7,
    }


def test_more_candidates_than_hits() -> None:
    body = builder(target_hits_factor=1.5).nearest(E0, 10, None, 0.1)
    assert "({targetHits:15}nearestNeighbor" in str(body["yql"])
    assert body["hits"] == 10


def test_exact_searches() -> None:
    filters = Filter((AnyOf("brand", ("acme",)),))
    yql_ = str(builder().nearest(E0, 5, filters, 1, approximate=False)["yql"])
    assert yql_.endswith(
        'where ({targetHits:5, approximate:false}nearestNeighbor(embedding, q)) and brand contains "acme"'
    )


def test_times_carry_their_unit_and_are_never_nothing() -> None:
    body = builder().nearest(E0, 1, None, 0.0009)
    assert (body["timeout"], body["ranking.matching.anntimebudget"]) == ("1ms", "1ms")


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


def test_text_that_vespa_refuses_is_replaced() -> None:
    assert term("") == EMPTY
    assert term("a\x00b\ufffec") == "a\ufffdb\ufffdc"


_vectors = hnp.arrays(np.float32, 8, elements=st.floats(-1, 1, width=32))


@given(
    raw=raw_filters,
    vector=_vectors,
    hits=st.integers(1, names.MAX_HITS),
    budget=st.floats(1e-4, 100),
    factor=st.floats(0.01, 10),
    ids=st.lists(st.text(min_size=1), min_size=1, max_size=4),
)
def test_every_request_keeps_the_rules(
    raw: dict[str, Any], vector: np.ndarray, hits: int, budget: float, factor: float, ids: list[str]
) -> None:
    filters = parse_filter(raw, ATTRIBUTES)
    make = builder(target_hits_factor=factor)
    for body in (
        make.nearest(vector, hits, filters, budget),
        make.nearest(vector, hits, filters, budget, approximate=False),
        make.stored(ids, budget),
        make.count(filters, budget),
        make.attribute_probe(budget),
    ):
        rules.request(body, 8)


BAD_REQUESTS: dict[str, dict[str, Any]] = {
    "a misspelt parameter": {"ranking.profil": "q2i"},
    "a short tensor": {"input.query(q)": "3f800000" * 7},
    "a long tensor": {"input.query(q)": "3f800000" * 9},
    "half the digits": {"input.query(q)": "3f80" * 8},
    "NaN": {"input.query(q)": "7fc00000" * 8},
    "a list": {"input.query(q)": [0.0] * 8},
    "an undeclared input": {"input.query(p)": "3f800000" * 8},
    "a bare time": {"timeout": "100"},
    "a time of nothing": {"timeout": "0ms"},
    "a bare budget": {"ranking.matching.anntimebudget": "70"},
    "too many hits": {"hits": 10_001},
    "an unknown summary": {"presentation.summary": "default"},
    "an unknown profile": {"ranking.profile": "q2j"},
    "tensors as text": {"presentation.format.tensors": "short"},
    "another type": {"model.restrict": "*"},
    "no tensor at all": {"input.query(q)": None},
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_requests_that_vespa_would_take_and_misread(name: str) -> None:
    good = builder().nearest(E0, 10, None, 1)
    rules.request(good, 8)
    with pytest.raises(rules.RuleBroken):
        rules.request(good | BAD_REQUESTS[name], 8)


def test_a_request_names_its_document_type() -> None:
    good = builder().nearest(E0, 10, None, 1)
    del good["model.restrict"]
    with pytest.raises(rules.RuleBroken, match="restricted"):
        rules.request(good, 8)


@pytest.mark.parametrize(
    "values",
    [
        {"targetHits": 10, "lable": "t0"},
        {"targetHits": 10, "aproximate": False},
        {"targetHits": 10, "totalTargetHits": 10},
        {"label": "t0"},
        {"targetHits": "10"},
        {"targetHits": 10, "approximate": "false"},
    ],
)
def test_annotations_are_spelt_right(values: dict[str, Any]) -> None:
    with pytest.raises(rules.RuleBroken):
        rules.nearest_annotations(values)


@pytest.mark.parametrize(
    "vectors",
    [
        np.zeros((1, 8), np.float32),
        np.full((1, 8), np.nan, np.float32),
        np.array([[np.inf] + [0.0] * 7], np.float32),
        np.ones((1, 8), np.float32),
        np.eye(1, 7, dtype=np.float32),
        np.ones(8, np.float32) / np.sqrt(8),
    ],
)
async def test_vectors_that_are_none_are_not_sent(vectors: np.ndarray) -> None:
    async with FaultServer([answer(200, GOOD)]) as server, VespaIndex(settings(server.url)) as index:
        with pytest.raises(ValueError, match="vector"):
            await index.search(vectors, 10, None, Deadline.after(5))
        assert server.requests == []


async def test_budgets_travel() -> None:
    async with FaultServer([answer(200, GOOD)]) as server, VespaIndex(settings(server.url)) as index:
        await index.search(E0[None], 10, None, Deadline(0.1, clock=lambda: 0.0))
        body = server.requests[0].json
    assert (body["timeout"], body["ranking.matching.anntimebudget"]) == ("95ms", "66ms")


async def test_several_vectors_are_parallel_queries() -> None:
    async with FaultServer([answer(200, GOOD)]) as server, VespaIndex(settings(server.url)) as index:
        assert len(await index.search(np.eye(4, 8, dtype=np.float32), 2, None, Deadline.after(5))) == 4
        assert [request.json["ranking.profile"] for request in server.requests] == ["q2i"] * 4


async def test_stored_vectors_are_one_query() -> None:
    stored = [hit("b", 0.0, embedding="3f80" + "0000" * 7), hit("a", 0.0, embedding="0000" * 7 + "bf00")]
    async with FaultServer([answer(200, root(stored))]) as server, VespaIndex(settings(server.url)) as index:
        found = await index.vectors(["a", 'q"', "b", "a", "", "\x00"], Deadline.after(5))
        (request,) = server.requests
    assert request.json["yql"] == (
        'select item_id, embedding, feed_ver from sources * where item_id in ("a", "q\\u0022", "b")'
    )
    assert request.json["presentation.format.tensors"] == "hex-value"
    assert found.ids == ["a", "b"]
    np.testing.assert_array_equal(found.vectors, [[0] * 7 + [-0.5], [1] + [0] * 7])


async def test_the_start_is_refused_when_another_schema_is_deployed() -> None:
    refused = answer(400, root(coverage=None, errors=[error(4, "Invalid query parameter", "No schema")]))
    async with FaultServer([refused]) as server, VespaIndex(settings(server.url)) as index:
        with pytest.raises(VersionMismatch, match="demo-0123abcd needs the document type item_demo_0123abcd"):
            await index.check(Deadline.after(5))
    async with FaultServer([answer(200, GOOD)]) as server, VespaIndex(settings(server.url)) as index:
        await index.check(Deadline.after(5))
        for name in index.attributes:
            assert names.field_name(name) in server.requests[1].json["yql"]
    async with FaultServer([hang]) as server, VespaIndex(settings(server.url)) as index:
        with pytest.raises(TimedOut):
            await index.check(Deadline.after(0.1))


async def test_an_empty_version_can_be_checked() -> None:
    empty = answer(200, root(coverage=COVERAGE | {"documents": 0}))
    async with FaultServer([empty]) as server, VespaIndex(settings(server.url)) as index:
        await index.check(Deadline.after(5))


async def test_counts() -> None:
    script = [answer(200, root(total=4321))]
    async with FaultServer(script) as server, VespaIndex(settings(server.url)) as index:
        assert (await index.stats()).items == 4321
        assert server.requests[0].json["hits"] == 0


@given(st.lists(st.text(min_size=1), min_size=2, unique=True))
def test_attributes_never_share_a_field(attributes: list[str]) -> None:
    fields = [names.field_name(name) for name in attributes]
    assert len({field.lower() for field in fields}) == len(fields)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", field) for field in fields)
    assert not names.OWN_FIELDS & set(fields)
