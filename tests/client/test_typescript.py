"""Deadlines, the one retry, and errors of the TypeScript client, by node's own test runner."""

from __future__ import annotations

from pathlib import Path

from tests.support.clients import CLIENT, run_node


def test_it_behaves(typescript: Path) -> None:
    said = run_node(typescript, "behaviour")
    assert "# fail 0\n" in said
    assert "# skipped 0\n" in said


def test_it_depends_on_nothing_and_its_lock_names_no_registry() -> None:
    package = (CLIENT / "typescript/package.json").read_text()
    assert '"dependencies"' not in package
    assert "resolved" not in (CLIENT / "typescript/package-lock.json").read_text()
