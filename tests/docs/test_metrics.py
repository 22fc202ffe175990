"""docs/metrics.md says what the registries hold."""

from __future__ import annotations

from pathlib import Path

from devtools.metrics_page import page

PAGE = Path(__file__).parents[2] / "docs/metrics.md"


def test_the_page_of_metrics_is_that_of_the_registries() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m devtools.metrics_page docs/metrics.md"
