"""Output for people: progress without a terminal, tables, warnings."""

from __future__ import annotations

import io
import logging

import pytest
from rich.console import Console

from cli.console import figures, lines_of, progress
from common.seldom import Seldom
from index.vespa.endpoints import tell
from index.vespa.errors import Unreachable


def test_a_stage_that_begins_anew_has_a_rate_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 10.0, 1000.0, 1010.0])
    monkeypatch.setattr("cli.console.monotonic", lambda: next(now))
    with progress() as report:
        for done in (0, 5, 0, 40):
            report("stage1", done, 100)
    assert capsys.readouterr().err.splitlines() == [
        "stage1: 0/100",
        "stage1: 5/100, 0.5/s, 190 s left",
        "stage1: 0/100",
        "stage1: 40/100, 4/s, 15 s left",
    ]


def test_tables_of_measures_are_whole_at_80_characters() -> None:
    measures = ("Recall@10", "Recall@100", "Recall@500", "MRR", "Rele@10_p", "Rele@100_p")
    table = figures("shop", ("queries", "system", "n"), measures)
    table.add_row("text+photo", "mrse, no history", "10,388", *["0.123"] * 6)
    console = Console(width=80, file=io.StringIO())
    console.print(table)
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in written
    assert written.count("0.123") == 6


def test_lines_of_a_training_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with lines_of("mrse.training"):
        logging.getLogger("mrse.training").warning("%s: no events file", "shop")
    assert capsys.readouterr().err == "warning: shop: no events file\n"


def test_a_line_says_of_whom_and_why(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.vespa.endpoints._told", Seldom(clock=lambda: 0.0))
    with lines_of("mrse.vespa"):
        tell("http://vespa-1:8080", Unreachable("dns", "no such host"))
    assert capsys.readouterr().err == "warning: vespa gave no answer (http://vespa-1:8080, dns)\n"


def test_a_stage_without_a_figure_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as report:
        report("co-clicks", 0, None)
        report("co-clicks", 7, 7)
        report("co-clicks", 0, None)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("co-clicks: 7/7")


def test_progress_without_a_terminal_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as report:
        for done in range(0, 1001, 10):
            report("rows", done, 1000)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "rows: 0/1,000"
    assert lines[-1].startswith("rows: 1,000/1,000")
    assert len(lines) < 5
