"""Attributes in Vespa's answers, in each form that it may write them in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from index.vespa.answer import Answer
from index.vespa.errors import NoCoverage, VespaError
from index.vespa.tensors import float16_hex
from index.vespa.text import EMPTY
from index.vespa.values import stored_features, stored_values

KINDS: Any = {"brand": "string", "price": "number", "in_stock": "bool", "tags": "list", "category": "list"}


def values(fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = Answer(
        [{"fields": {"item_id": "i1", **fields}}], 1, **({"coverage": 1.0, "degraded": ()} | more)
    )
    return {
        name: found for name, (found,) in stored_values(answer, ["i1"], list(KINDS), KINDS).values.items()
    }


MISSING = dict.fromkeys(KINDS)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"brand": "", "tags": [], "price": float("nan"), "in_stock": False}, {}),
        ({"brand": EMPTY, "tags": [EMPTY, "a"]}, {"brand": "", "tags": ["", "a"]}),
        ({"price": 3, "category": ["shoes", "shoes > run"]}, {"price": 3.0, "category": "shoes > run"}),
        ({"in_stock": False, "known_bools": {"in_stock": 1}}, {"in_stock": False}),
        ({"in_stock": True, "known_bools": [{"item": "in_stock", "weight": 1}]}, {"in_stock": True}),
        ({"in_stock": True, "known_bools": ["in_stock"]}, {"in_stock": True}),
        ({"in_stock": True, "known_bools": ["other"]}, {}),
    ],
)
def test_each_form(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert values(fields) == MISSING | expected


def test_coverage_counts_where_an_item_is_missing() -> None:
    answer = Answer([{"fields": {"item_id": "i1"}}], 1, 0.5, ("timeout",))
    assert stored_values(answer, ["i1"], [], KINDS).coverage == 1.0
    found = stored_values(answer, ["i1", "i2"], [], KINDS)
    assert (found.ids, found.coverage, found.degraded) == (["i1"], 0.5, ("timeout",))


@pytest.mark.parametrize("hit", [{}, {"fields": {}}, {"fields": None}])
def test_a_hit_without_its_fields_is_no_answer(hit: dict[str, Any]) -> None:
    with pytest.raises(VespaError, match="bad_answer"):
        stored_values(Answer([hit], 1, 1.0, ()), ["i1"], ["brand"], KINDS)


def test_item_features_come_back_as_they_were_fed_and_without_those_that_have_none() -> None:
    features = np.arange(6, dtype=np.float16).reshape(2, 3) / np.float16(7)
    hits = [
        {"fields": {"item_id": "b", "itemFeatures": float16_hex(features)}},
        {"fields": {"item_id": "none"}},
        {"fields": {"item_id": "a", "itemFeatures": float16_hex(-features)}},
    ]
    ids, found = stored_features(Answer(hits, 3, 1.0, ()), ["a", "gone", "none", "b"], (2, 3))
    assert ids == ["a", "b"]
    np.testing.assert_array_equal(found, np.stack([-features, features]))
    assert stored_features(Answer([], 0, 1.0, ()), ["a"], (2, 3))[1].shape == (0, 2, 3)
    # Nobody looked where it may be: that is no unknown item.
    with pytest.raises(NoCoverage):
        stored_features(Answer([], 0, 0.5, ("timeout",)), ["a"], (2, 3))
    for wrong in ({"item_id": "a", "itemFeatures": "00"}, {"itemFeatures": "00" * 12}):
        with pytest.raises(VespaError, match="bad_answer"):
            stored_features(Answer([{"fields": wrong}], 1, 1.0, ()), ["a"], (2, 3))
