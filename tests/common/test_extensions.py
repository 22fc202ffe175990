"""Modules of a team's own are imported by name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from common.extensions import VARIABLE, ExtensionError, load_extensions


def test_named_modules_are_imported_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "team_first.py").write_text("import sys; sys.team_order = ['first']")
    (tmp_path / "team_second.py").write_text("import sys; sys.team_order.append('second')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "team_order", [], raising=False)
    monkeypatch.setenv(VARIABLE, "team_first, team_second,")
    load_extensions()
    assert sys.team_order == ["first", "second"]  # type: ignore[attr-defined]


def test_one_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "no_such_team.module")
    with pytest.raises(ExtensionError, match=r"MRSE_EXTENSIONS: no_such_team\.module"):
        load_extensions()
