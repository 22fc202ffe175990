"""One item against a filter, beside the plain reference."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from devtools.embeddings import ATTRIBUTES, random_items
from index.filters import parse_filter
from index.matching import accepts, fields_of
from tests.support.reference import accepts as reference
from tests.support.reference import raw_filters

ITEMS = random_items(200, seed=3)


@given(raw=raw_filters, item=st.sampled_from(ITEMS))
def test_an_item_passes_as_the_reference_says(raw: dict[str, Any], item: dict[str, Any]) -> None:
    parsed = parse_filter(raw, {**ATTRIBUTES, "category": "list"})
    if parsed is not None:
        assert set(fields_of(parsed)) == set(raw)
        assert accepts(parsed, item) == reference(raw, item)
