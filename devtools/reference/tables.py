"""Of pages made from reports: the runs of a report, and rows of a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from devtools.reference.results import RESULTS


def runs_of(name: str) -> Mapping[str, Any]:
    """What a benchmark measured, from its report of that name."""
    runs: Mapping[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["runs"]
    return runs


def head(cells: Sequence[str]) -> list[str]:
    """The head of a table, and the rule below it."""
    return [line(cells), "|" + "---|" * len(cells)]


def line(cells: Sequence[str]) -> str:
    """A row."""
    return f"| {' | '.join(cells)} |"


def bounds(gain: Mapping[str, float], *, value: str = "+.4f") -> str:
    """A difference with its interval, bold where that lies above 0."""
    told = f"{gain['value']:{value}} ({gain['low']:+.4f} to {gain['high']:+.4f})"
    return f"**{told}**" if gain["low"] > 0 else told
