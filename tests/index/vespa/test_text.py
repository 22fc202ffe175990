"""Strings as Vespa holds them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from index.vespa.text import EMPTY, folded_of, is_text, storable, term

#: Letters, what is written otherwise, and what stands for that.
_ODD = st.text(st.sampled_from("aé0f\x00\ue000\ue001\ufffd\ufffe\ud800\U0001ffff"), max_size=6) | st.text()


def test_text_that_vespa_refuses_is_written_by_number() -> None:
    assert term("") == EMPTY
    assert term("Bär") == "bär"
    assert term("a\x00b\ufffec") == "a\ue0010\ue001b\ue001fffe\ue001c"
    assert term("\ufffd") == "\ufffd"


@given(one=_ODD, other=_ODD)
def test_distinct_strings_are_stored_apart_and_read_back(one: str, other: str) -> None:
    assert (storable(one) == storable(other)) == (one == other)
    assert folded_of(storable(one)) == one
    assert is_text(storable(one))


def test_a_number_that_is_no_character_is_left_as_it_is() -> None:
    assert folded_of("\ue001ffffff\ue001") == "\ue001ffffff\ue001"
