"""What the runbook tells to look at and to do exists under the name that it has there."""

from __future__ import annotations

import re
from typing import Any

import typer

from cli.main import build
from devtools.pages import PAGES, ROOT

TEXT = PAGES["docs/runbook.md"]


def test_every_command_and_option_exists() -> None:
    root: Any = typer.main.get_command(build())
    told = re.findall(r"`mrse ([^`]+)`", TEXT)
    assert len(told) > 8
    for line in told:
        command, words = root, line.split()
        while hasattr(command, "commands"):
            assert words[0] in command.commands, f"mrse {line}"
            command = command.commands[words.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, f"mrse {line}"
    assert not re.findall(r"`--[a-z-]+`", TEXT), "an option stands beside its command"


def test_every_metric_of_ours_and_every_setting_exists() -> None:
    metrics, settings = PAGES["docs/metrics.md"], PAGES["docs/reference/settings.md"]
    named = set(re.findall(r"\b(?:mrse|process)_[a-z_]+", TEXT))
    assert len(named) > 20
    assert [name for name in sorted(named) if f"`{re.sub('_bucket$', '', name)}`" not in metrics] == []
    set_by = set(re.findall(r"`([a-z]+\.[a-z_]+)(?: = \w+)?`", TEXT)) - {"mrse.index"}  # a logger
    assert len(set_by) > 8
    assert [name for name in sorted(set_by) if f"| `{name}` |" not in settings] == []


def test_what_is_to_be_found_in_the_log_is_written_there() -> None:
    source = "".join(path.read_text() for path in (ROOT / "service").rglob("*.py"))
    for line in ("cannot start", "worker ended", "not reloaded, everything stays as it was"):
        assert f"`{line}`" in TEXT
        assert re.search(rf'log\.(error|exception)\("{line}', source), line
