"""What is sent: one document type, hex tensors, one kind of target hits, values that stay values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from index.filters import AnyOf, Filter, parse_filter
from index.vespa import names
from index.vespa.query import QueryBuilder
from index.vespa.settings import SearchSettings
from tests.index.vespa import rules
from tests.index.vespa.answers import (
    TYPE,
    VERSION,
)
from tests.support.reference import raw_filters

ATTRIBUTES = VERSION.attributes
INT8 = replace(VERSION, vectors="int8")
E0 = np.eye(1, 8, dtype=np.float32)[0]


def builder(**search: Any) -> QueryBuilder:
    return QueryBuilder(VERSION, SearchSettings(**search))


def test_a_search_for_one_vector() -> None:
    body = builder().nearest(E0, 200, None, 0.1)
    assert body == {
        "yql": "select matchfeatures from sources * where ({targetHits:200, "
        "hnsw.exploreAdditionalHits:600}nearestNeighbor(embedding, q))",
        "hits": 200,
        "timeout": "100ms",
        "model.restrict": TYPE,
        "ranking.profile": "q2i",
        "ranking.matching.anntimeout.enable": "true",
        "ranking.matching.anntimeout.factor": "0.500",
        "ranking.softtimeout.enable": "true",
        "presentation.format.tensors": "hex-value",
        "input.query(q)": "3f800000" + "00000000" * 7,
    }


def test_more_candidates_than_hits() -> None:
    body = builder(target_hits_factor=1.5).nearest(E0, 100, None, 0.1)
    assert "({targetHits:150, hnsw.exploreAdditionalHits:300}nearestNeighbor" in str(body["yql"])
    most = builder().nearest(E0, 5000, None, 0.1)
    assert "{targetHits:5000, hnsw.exploreAdditionalHits:1000}" in str(most["yql"])
    assert body["hits"] == 100


@pytest.mark.parametrize("hits", [1, 5, 10, 31, 100])
def test_few_hits_are_searched_for_as_widely_as_a_hundred(hits: int) -> None:
    body = builder().nearest(E0, hits, None, 0.1)
    assert "({targetHits:100, hnsw.exploreAdditionalHits:300}nearestNeighbor" in str(body["yql"])
    assert body["hits"] == hits


def test_the_width_of_the_search_can_be_set() -> None:
    wide = builder(target_hits_least=20, explore_additional_hits=300)
    assert "{targetHits:20, hnsw.exploreAdditionalHits:300}" in str(wide.nearest(E0, 10, None, 0.1)["yql"])
    total = builder(total_target_hits_factor=2.0, explore_additional_hits=0)
    assert "{totalTargetHits:400}" in str(total.nearest(E0, 200, None, 0.1)["yql"])
    short = builder(graph_share=0.25).nearest(E0, 10, None, 0.1)
    assert short["ranking.matching.anntimeout.factor"] == "0.250"


def test_exact_searches() -> None:
    filters = Filter((AnyOf("brand", ("acme",)),))
    yql_ = str(builder().nearest(E0, 5, filters, 1, approximate=False)["yql"])
    assert yql_.endswith(
        'where ({targetHits:5, approximate:false}nearestNeighbor(embedding, q)) and brand contains "acme"'
    )


def test_a_first_search_names_the_history_and_marks_the_head() -> None:
    body = builder().first(E0, 20, None, 0.1, ["a1", "B 2"], 2)
    assert body["yql"] == (
        "select matchfeatures from sources * where "
        "(({targetHits:100, hnsw.exploreAdditionalHits:300}nearestNeighbor(embedding, q)) or "
        '({label:"head", targetHits:2, hnsw.exploreAdditionalHits:398}nearestNeighbor(embedding, q)) or '
        'item_id in ("a1", "B 2"))'
    )
    assert (body["hits"], body["ranking.profile"]) == (22, "first")
    assert body["input.query(history)"] == '{"a1":1,"B 2":1}'
    filtered = builder().first(E0, 20, Filter((AnyOf("brand", ("acme",)),)), 0.1, (), 0)
    assert str(filtered["yql"]).endswith('nearestNeighbor(embedding, q)) and brand contains "acme"')


def test_neighbours_of_several_vectors_are_one_query() -> None:
    body = builder().related(np.eye(2, 8, dtype=np.float32), E0, 31, 62, None, 0.1)
    operator = "({{targetHits:31, hnsw.exploreAdditionalHits:369}}nearestNeighbor(embedding, {}))".format
    assert str(body["yql"]).endswith(f"where ({operator('t0')} or {operator('t1')})")
    assert (body["hits"], body["ranking.profile"]) == (62, "related2")
    assert body["input.query(t1)"] == "00000000" + "3f800000" + "00000000" * 6
    many = str(builder().related(np.stack([E0]), E0, 200, 200, None, 0.1)["yql"])
    notes = "{targetHits:200, hnsw.exploreAdditionalHits:600}"
    assert notes in many, "as wide as a search for as many"
    assert notes in str(builder().nearest(E0, 200, None, 0.1)["yql"])


def test_a_graph_over_int8_brings_a_quarter_more_for_the_embeddings_to_put_in_order() -> None:
    make = QueryBuilder(INT8)
    vector = np.array([0.6, -0.8, 0, 0, 0, 0, 0, 0], np.float32)
    body = make.nearest(vector, 100, None, 0.1)
    assert str(body["yql"]).endswith(
        "({targetHits:125, hnsw.exploreAdditionalHits:375}nearestNeighbor(embeddingInt8, c))"
    )
    assert (body["hits"], body["model.restrict"]) == (100, f"{TYPE}_int8")
    assert body["input.query(c)"] == "5f81" + "00" * 6, "0.6 / 0.8 * 127 is 95"
    assert body["input.query(q)"] == "3f19999a" + "bf4ccccd" + "00000000" * 6
    related = make.related(np.stack([vector, vector]), vector, 31, 62, None, 0.1)
    operator = "({{targetHits:39, hnsw.exploreAdditionalHits:361}}nearestNeighbor(embeddingInt8, {}))".format
    assert str(related["yql"]).endswith(f"where ({operator('c0')} or {operator('c1')})")
    assert {"input.query(q)", "input.query(t1)", "input.query(c1)"} <= related.keys()
    exact = make.nearest(vector, 5, None, 1, approximate=False)
    assert "{targetHits:5, approximate:false}nearestNeighbor(embedding, q)" in str(exact["yql"])
    assert "input.query(c)" not in exact


def test_times_carry_their_unit_and_are_never_nothing() -> None:
    body = builder().nearest(E0, 1, None, 0.0009)
    assert body["timeout"] == "1ms"


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
    search = SearchSettings(target_hits_factor=factor)
    vector = vector if vector.any() else E0  # the client refuses others
    for make in (QueryBuilder(VERSION, search), QueryBuilder(INT8, search)):
        for body in (
            make.nearest(vector, hits, filters, budget),
            make.nearest(vector, hits, filters, budget, approximate=False),
            make.first(vector, hits, filters, budget, (), 2),
            make.first(vector, min(hits, 9000), None, budget, ["a-1", "\N{SNOWMAN} b"], 0),
            make.related(np.stack([vector] * len(ids)), vector, 31, hits, filters, budget),
            make.stored(ids, budget),
            make.count(budget),
            make.attribute_probe(budget),
        ):
            rules.request(body, 8)
