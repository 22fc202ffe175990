"""The queries that the client really sends, as Vespa's own builder and parser understand them.

An injected ``or true`` is valid YQL, so it is not enough that Vespa takes a query: the tree it makes of it
must be the one that was meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.embeddings import unit_vectors
from devtools.vespa_peer.peer import Judge
from index.filters import Condition, Filter, Range, evaluate, parse_filter
from index.vespa import names
from index.vespa.query import Body, QueryBuilder
from index.vespa.table import VespaConnection
from index.vespa.text import storable
from tests.support.reference import raw_filters
from tests.support.vespa_peer import INT8, VERSION

Tree = Any
VECTORS = unit_vectors(1, 128)


BUILDER = QueryBuilder(VERSION)


@pytest.fixture(scope="module")
def parse(vespa_judge: Judge, vespa_application: Path) -> Callable[[Body], dict[str, Any]]:
    def parsed(body: Body) -> dict[str, Any]:
        verdict = vespa_judge.query(vespa_application, body)
        assert verdict["ok"], verdict["error"]
        return verdict

    return parsed


def meant(operator: Tree, filters: Filter | None) -> Tree:
    """The tree of an operator and a filter, in the form of `canonical`."""
    clauses = [] if filters is None else [evaluate(filters, _condition, _negated, _both)]
    return canonical(["AND", operator, *clauses])


def _negated(tree: Tree) -> Tree:
    return ["!", tree]


def _both(one: Tree, other: Tree) -> Tree:
    return ["AND", one, other]


def _condition(condition: Condition) -> Tree:
    if isinstance(condition, Range):
        return ["AND", *_bounds(condition)]
    if isinstance(condition.values[0], str):
        words = sorted(storable(str(value)) for value in condition.values)
        return ["=", condition.field, *words] if len(words) == 1 else ["in", condition.field, *words]
    return ["OR", *(_value(condition.field, value) for value in condition.values)]


def _value(field: str, value: object) -> Tree:
    if value is True:
        return ["=", field, "true"]
    if value is False:
        return ["AND", ["=", field, "false"], ["=", "known_bools", field]]
    return ["number", field, (value, False, value, False)]


def _bounds(bounds: Range) -> list[Tree]:
    low, high = (bounds.low, bounds.low_open), (bounds.high, bounds.high_open)
    sides = [(*low, None, False), (None, False, *high)]
    if bounds.low is not None and bounds.high is not None and bounds.low < bounds.high:
        sides = [(*low, *high)]
    return [["number", bounds.field, side] for side in sides if side[0] is not None or side[2] is not None]


def canonical(tree: Tree) -> Tree:
    """Nested ``AND`` and ``OR`` of one child or their own kind are lifted; ``NOT`` is ``AND`` and ``!``."""
    kind, *rest = tree
    if kind == "NOT":
        return canonical(["AND", rest[0], *(["!", child] for child in rest[1:])])
    if kind == "number":
        return (kind, rest[0], interval(rest[1]) if isinstance(rest[1], str) else rest[1])
    if kind == "in":
        return (kind, rest[0], *sorted(set(rest[1:])))  # Java sorts UTF-16 units, Python code points
    if kind in ("=", "TRUE", "nearestNeighbor"):
        return (kind, *(tuple(sorted(each.items())) if isinstance(each, Mapping) else each for each in rest))
    children: list[Tree] = []
    for child in map(canonical, rest):
        children += child[1:] if child[0] == kind and kind != "!" else [child]
    if kind == "!" or len(children) > 1:
        return (kind, *sorted(children, key=repr))
    return children[0]


_NUMBER = re.compile(r"(?P<open>[\[<>]?)(?P<low>[^;\]>]*)(?P<middle>;?)(?P<high>[^;\]>]*)(?P<close>[\]>]?)")


def interval(text: str) -> tuple[float | None, bool, float | None, bool]:
    """Vespa's ``[1.0;2.0>``, ``<2.0``, ``>1.0`` or ``1.0`` as bounds and whether they are open."""
    found = _NUMBER.fullmatch(text)
    assert found, text
    low = float(found["low"]) if found["low"] else None
    high = float(found["high"]) if found["high"] else None
    if found["middle"]:
        return low, found["open"] == "<" and low is not None, high, found["close"] == ">" and high is not None
    if found["open"] == "<":
        return None, False, low, True
    if found["open"] == ">":
        return low, True, None, False
    return low, False, low, False


def nearest(tensor: str, hits: int, *, approximate: bool = True) -> Tree:
    more = max(VespaConnection().explore_additional_hits, 3 * hits)
    further = {"hnsw.exploreAdditionalHits": more} if approximate else {}
    notes = {"approximate": approximate, "targetHits": hits, **further}
    return ["nearestNeighbor", "embedding", tensor, notes]


_text = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            '" or true or brand contains "',
            "') or true",
            "\\",
            '\\"',
            "\\u0022",
            "@brand",
            "userQuery()",
            "a and b",
            "null",
            "",
            "\x00",
            "\ufffe",
            "\U0001f9e6",
        ]
    ),
)
_texts = st.one_of(_text, st.lists(_text, min_size=1, max_size=3))
_numbers = st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value + 0.0)
_hostile = st.fixed_dictionaries(
    {},
    optional={
        "brand": st.one_of(_texts, st.fixed_dictionaries({"not": _texts})),
        "category": _text,
        "tags": st.one_of(_texts, st.fixed_dictionaries({"not": _texts})),
        "price": st.one_of(
            _numbers,
            st.lists(_numbers, min_size=1, max_size=3),
            st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), _numbers, min_size=1),
        ),
    },
)


@given(raw=st.one_of(raw_filters, _hostile))
def test_filters_mean_what_they_say(parse: Callable[[Body], dict[str, Any]], raw: dict[str, Any]) -> None:
    filters = parse_filter(raw, VERSION.attributes)
    parsed = parse(BUILDER.nearest(VECTORS[0], 20, filters, 1.0))
    assert canonical(parsed["tree"]) == meant(nearest("q", 100), filters)


@given(ids=st.lists(_text.filter(bool), min_size=1, max_size=5, unique=True))
def test_stored_ids(parse: Callable[[Body], dict[str, Any]], ids: list[str]) -> None:
    parsed = parse(BUILDER.stored(ids, 1.0))
    # Vespa's `in` folds nothing: ids are told apart by case.
    assert canonical(parsed["tree"]) == ("in", "item_id", *sorted(ids))
    assert (parsed["summary"], parsed["profile"]) == ("vectors", "unranked")


def test_all_that_a_search_sets_arrives(parse: Callable[[Body], dict[str, Any]]) -> None:
    parsed = parse(BUILDER.nearest(VECTORS[0], 200, None, 0.1))
    assert parsed["tree"] == nearest("q", 200)
    assert parsed["hits"] == 200
    assert parsed["maxHits"] >= names.MAX_HITS
    assert (parsed["timeout"], parsed["annTimeBudget"]) == (100, None)
    assert parsed["annTimeout"] == {"enable": True, "factor": 0.5}
    assert parsed["restrict"] == [VERSION.document_type]
    assert (parsed["profile"], parsed["summary"], parsed["softTimeout"]) == ("q2i", "ids", True)
    assert parsed["inputs"] == {"query(q)": "tensor<float>(x[128])"}


def test_a_graph_over_int8_is_searched_by_int8_and_scored_by_the_embedding(
    parse: Callable[[Body], dict[str, Any]],
) -> None:
    build = QueryBuilder(INT8)
    parsed = parse(build.nearest(VECTORS[0], 200, None, 0.1))
    kind, field, tensor, notes = parsed["tree"]
    assert (kind, field, tensor, notes["targetHits"]) == ("nearestNeighbor", "embeddingInt8", "c", 250)
    assert parsed["inputs"] == {"query(q)": "tensor<float>(x[128])", "query(c)": "tensor<int8>(x[128])"}
    parsed = parse(build.related(np.stack([VECTORS[0]] * 2), VECTORS[0], 31, 62, None, 0.1))
    assert [each[1:3] for each in parsed["tree"][1:]] == [["embeddingInt8", "c0"], ["embeddingInt8", "c1"]]
    assert parsed["inputs"]["query(c1)"] == "tensor<int8>(x[128])"
    assert parse(build.nearest(VECTORS[0], 20, None, 1.0, approximate=False))["tree"] == nearest(
        "q", 20, approximate=False
    )
    assert parse(build.first(VECTORS[0], 20, None, 0.1, ["a"], 2))["inputs"].keys() == {
        "query(q)",
        "query(c)",
        "query(history)",
    }


def test_a_first_search_and_its_inputs_arrive(parse: Callable[[Body], dict[str, Any]]) -> None:
    parsed = parse(BUILDER.first(VECTORS[0], 20, None, 0.1, ["a", "B'\N{SNOWMAN} c", "true"], 2))
    kind, near, head, named = parsed["tree"]
    assert (kind, near) == ("OR", nearest("q", 100))
    assert (head[0], head[2], head[3]["targetHits"], head[3]["label"]) == ("nearestNeighbor", "q", 2, "head")
    assert canonical(named) == ("in", "item_id", *sorted(["a", "B'\N{SNOWMAN} c", "true"]))
    assert (parsed["hits"], parsed["profile"]) == (23, "first")
    assert parsed["inputs"] == {"query(q)": "tensor<float>(x[128])", "query(history)": "tensor(id{})"}


def test_filters_of_a_first_search_are_not_for_the_ids(parse: Callable[[Body], dict[str, Any]]) -> None:
    filters = parse_filter({"brand": "acme", "price": {"lt": 50}}, VERSION.attributes)
    kind, (inner, either, *conditions), named = parse(
        BUILDER.first(VECTORS[0], 200, filters, 0.1, ["a", "b"], 2)
    )["tree"]
    assert (kind, inner, canonical(named)) == ("OR", "AND", ("in", "item_id", "a", "b"))
    kind, near, head = either
    assert (kind, near[3]["label"], near[3]["targetHits"]) == ("OR", "near", 202)
    assert (head[3]["label"], head[3]["targetHits"]) == ("head", 2)
    assert len(conditions) == 2


@pytest.mark.parametrize("count", [1, 5, names.MAX_RELATED])
def test_neighbours_of_several_vectors_arrive(parse: Callable[[Body], dict[str, Any]], count: int) -> None:
    parsed = parse(BUILDER.related(np.stack([VECTORS[0]] * count), VECTORS[0], 31, 62, None, 0.1))
    operators = parsed["tree"][1:] if count > 1 else [parsed["tree"]]
    assert [(each[0], each[2], each[3]["targetHits"]) for each in operators] == [
        ("nearestNeighbor", f"t{number}", 31) for number in range(count)
    ]
    assert parsed["inputs"].keys() == {"query(q)", *(f"query(t{number})" for number in range(count))}


def test_exact_searches(parse: Callable[[Body], dict[str, Any]]) -> None:
    exact = parse(BUILDER.nearest(VECTORS[0], 200, None, 1.0, approximate=False))
    assert exact["tree"] == nearest("q", 200, approximate=False)


def test_the_probe_and_the_count_are_taken(parse: Callable[[Body], dict[str, Any]]) -> None:
    assert parse(BUILDER.count(1.0))["tree"] == ["TRUE"]
    probe = parse(BUILDER.attribute_probe(1.0))["tree"]
    assert sorted(child[1] for child in probe[2][1:]) == sorted(VERSION.attributes)
