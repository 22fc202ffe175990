"""Every row of docs/failures.md has five cells, and names a test that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "docs/failures.md").read_text(encoding="utf-8").splitlines()
ROWS = [line for line in LINES if line.startswith("| ") and not line.startswith("| what fails |")]


def _tests_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("row", ROWS)
def test_a_row_names_tests_that_exist(row: str) -> None:
    cells = re.split(r"(?<!\\)\|", row.strip().strip("|"))
    assert len(cells) == 5
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", cells[4])
    assert named, "no test"
    for path, test in named:
        assert test in _tests_of(ROOT / path), f"{path}::{test}"
