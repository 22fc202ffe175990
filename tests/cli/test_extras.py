"""How to get what an extra brings."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.extras import how_to_get
from tests.support.command import ROOT


def test_how_to_get_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert how_to_get("train") == "make dev"
    assert "\ndev:" in (ROOT / "Makefile").read_text()
    monkeypatch.setattr("cli.extras.__file__", str(tmp_path / "cli" / "extras.py"))
    assert how_to_get("train") == "pip install 'mrse-recall[train]'"
