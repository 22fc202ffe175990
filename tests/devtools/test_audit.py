"""The audit fails where it audited nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from devtools.audit import locked, main
from tests.support.command import ROOT

LOCK = """\
# made by make lock
numpy==2.3.0 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
pywin32==1.0 ; sys_platform == 'win32' \\
    --hash=sha256:cc
PyStemmer==3.0.0 \\
    --hash=sha256:dd
    # via mrse-recall
"""
SOUND: list[dict[str, Any]] = [
    {"name": "numpy", "version": "2.3.0", "vulns": []},
    {"name": "pystemmer", "version": "3.0.0", "vulns": []},
]


def audit(tmp_path: Path, answer: str, lock: str = LOCK) -> int:
    (tmp_path / "lock.txt").write_text(lock)
    (tmp_path / "answer.json").write_text(answer)
    tool = tmp_path / "tool"
    tool.write_text(f"#!/bin/sh\ncat {tmp_path}/answer.json\n")
    tool.chmod(0o755)
    return main(["--tool", str(tool), str(tmp_path / "lock.txt")])


def test_a_lock_whose_packages_were_all_looked_up_passes(tmp_path: Path) -> None:
    assert audit(tmp_path, json.dumps({"dependencies": SOUND})) == 0


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([{"name": each["name"], "skip_reason": "not found on PyPI"} for each in SOUND], "2 of 2"),
        (SOUND[:1], "1 of 2"),
        ([SOUND[0], {**SOUND[1], "vulns": [{"id": "CVE-2026-1"}]}], "pystemmer 3.0.0: CVE-2026-1"),
    ],
)
def test_it_fails_where_it_did_not_look_or_found_something(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: list[Any], said: str
) -> None:
    assert audit(tmp_path, json.dumps({"dependencies": answer})) == 1
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("answer", ["", "no network", "[]", "{}"])
def test_no_answer_is_no_pass(tmp_path: Path, answer: str) -> None:
    assert audit(tmp_path, answer) == 1


def test_a_lock_of_nothing_is_no_pass(tmp_path: Path) -> None:
    assert audit(tmp_path, json.dumps({"dependencies": []}), lock="# nothing\n") == 1


def test_our_locks_are_read() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert len(locked(lock)) > 5, lock
    assert {"fastapi", "numpy", "onnxruntime"} <= locked(ROOT / "requirements" / "cpu.txt")
