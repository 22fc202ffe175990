"""The tests' own rules find what Vespa would take and misread."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from index.vespa.query import QueryBuilder
from tests.index.vespa import rules
from tests.index.vespa.answers import (
    VERSION,
)

E0 = np.eye(1, 8, dtype=np.float32)[0]


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
    good = QueryBuilder(VERSION).nearest(E0, 10, None, 1)
    rules.request(good, 8)
    with pytest.raises(rules.RuleBroken):
        rules.request(good | BAD_REQUESTS[name], 8)


def test_a_request_names_its_document_type() -> None:
    good = QueryBuilder(VERSION).nearest(E0, 10, None, 1)
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
