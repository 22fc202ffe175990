"""Strings as Vespa holds them."""

from __future__ import annotations

from index.vespa.text import EMPTY, term


def test_text_that_vespa_refuses_is_replaced() -> None:
    assert term("") == EMPTY
    assert term("a\x00b\ufffec") == "a\ufffdb\ufffdc"
