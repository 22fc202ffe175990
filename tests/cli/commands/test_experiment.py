"""``mrse experiment report`` from files to terminal, JSON, page and exit code."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from artifacts.exposures import client_id
from cli.main import build
from devtools.pages import elsewhere, examples

START = datetime(2026, 11, 2, tzinfo=UTC)


def write(folder: Path, slow: float) -> list[str]:
    """400 users, one answer each; every fourth clicks in the control, every second in the treatment."""
    events, outcomes = [], ["ts,user,action,value"]
    for user in range(400):
        treated = user % 2 == 1
        at = START + timedelta(minutes=user)
        attributes = {
            "unit": "user",
            "query_hash": "q",
            "arms": {"merge": "rrf" if treated else "control"},
            "forced": [],
            "shares": {"merge": 0.5},
            "partial": False,
            "took_ms": (5.0 + user % 3) * (slow if treated else 1),
        }
        events.append(
            {
                "format": 1,
                "query_id": f"r{user}",
                "client_id": client_id(f"u{user}"),
                "timestamp": at.isoformat(),
                "query_response_hit_ids": ["i1"],
                "query_attributes": attributes,
            }
        )
        if user % 8 in (0, 1, 3):
            outcomes.append(f"{at.isoformat()},u{user},click,")
    (folder / "exposures-1.jsonl").write_text("\n".join(json.dumps(event) for event in events))
    (folder / "outcomes.csv").write_text("\n".join(outcomes))
    return ["experiment", "report", str(folder), str(folder / "outcomes.csv"), "--effect", "0.5"]


def test_a_report_is_printed_and_written(tmp_path: Path) -> None:
    command = write(tmp_path, 1.0)
    page = tmp_path / "pages" / "merge.html"
    shown = CliRunner().invoke(build(), [*command, "--report", str(page)])
    assert shown.exit_code == 0, shown.output
    assert "Experiment merge" in shown.output
    assert "rrf: click rate better than the control" in shown.output
    assert "<svg" in page.read_text()
    told = json.loads(CliRunner().invoke(build(), [*command, "--json"]).output)
    assert told["against"][0]["metrics"]["click rate"]["control"]["value"] == 0.25
    assert told["sound"]


def test_the_command_of_the_page(tmp_path: Path) -> None:
    """With the names of this log in place of the page's."""
    (command,) = elsewhere("docs/experiments.md", "tests/cli/commands/test_experiment.py")
    log, outcomes = write(tmp_path, 1.0)[2:4]
    for said, here in (
        ("exposures/", log),
        ("outcomes.csv", outcomes),
        ("i2i.html", str(tmp_path / "i2i.html")),
        ("--experiment i2i", "--experiment merge"),
        ("order rate", "click rate"),
    ):
        command = command.replace(said, here)
    assert CliRunner().invoke(build(), shlex.split(command)[1:]).exit_code == 0
    assert (tmp_path / "i2i.html").exists()


def test_the_example_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "exposures").mkdir()
    outcomes = pyarrow.csv.read_csv(write(tmp_path / "exposures", 1.0)[3])
    pyarrow.parquet.write_table(outcomes, tmp_path / "outcomes.parquet")
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(build(), shlex.split(examples()["experiment report"])[1:])
    assert shown.exit_code == 0, shown.output
    assert "<svg" in (tmp_path / "merge.html").read_text()


def test_an_arm_that_is_slower_ends_it_with_one(tmp_path: Path) -> None:
    shown = CliRunner().invoke(build(), write(tmp_path, 1.5))
    assert shown.exit_code == 1
    assert "worse in latency" in shown.output
