"""What a report tells of the command that made it."""

from __future__ import annotations

import pytest

from benchmarks.report import options_of


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("--json out.json", ""),
        ("--json=/some/where/out.json", ""),
        ("--quick --json=folder/out.json", "--quick"),
        ("--before ../older --rows 20000", "--before PATH --rows 20000"),
        ("--data=/mine --mixes single workers", "--data=PATH --mixes single workers"),
        ("--one http://127.0.0.1:1 --quick", "--one URL --quick"),
        ("../first/place --quick", "PATH --quick"),
    ],
)
def test_options_are_told_whole_without_a_machines_own_places(given: str, kept: str) -> None:
    assert options_of(given.split()) == kept.split()
