"""Who may import folders that are not shipped; import-linter holds what is shipped to its layers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHIPPED = ("artifacts", "cli", "common", "index", "models", "producer", "service")


def imported(folder: str) -> Iterator[tuple[Path, str]]:
    for file in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                yield from ((file, name.name.partition(".")[0]) for name in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield file, node.module.partition(".")[0]


@pytest.mark.parametrize("folder", [*SHIPPED, "devtools", "benchmarks"])
def test_nothing_outside_tests_imports_from_tests(folder: str) -> None:
    assert not [file for file, package in imported(folder) if package == "tests"]


@pytest.mark.parametrize("folder", SHIPPED)
def test_what_is_shipped_imports_nothing_that_is_not(folder: str) -> None:
    assert not [file for file, package in imported(folder) if package in ("devtools", "benchmarks")]


@pytest.mark.parametrize("folder", SHIPPED)
def test_every_package_says_that_it_is_typed(folder: str) -> None:
    assert (ROOT / folder / "py.typed").is_file()
