"""Names of fields."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from index.vespa import names


@given(st.lists(st.text(min_size=1), min_size=2, unique=True))
def test_attributes_never_share_a_field(attributes: list[str]) -> None:
    fields = [names.field_name(name) for name in attributes]
    assert len({field.lower() for field in fields}) == len(fields)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", field) for field in fields)
    assert not names.OWN_FIELDS & set(fields)


def test_a_name_that_vespa_keeps_for_itself_is_another_field() -> None:
    assert names.field_name("position") == "attr_position"
