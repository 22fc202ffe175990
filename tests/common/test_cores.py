"""Cores that a process may use: those it may run on, less what a container's limit takes away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.cores import usable_cores

MINE = len(os.sched_getaffinity(0))


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def test_who_sets_the_variable_shares_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert usable_cores(tmp_path / "none") == 1


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000\n", MINE),
        ("100000 100000\n", 1),
        ("50000 100000\n", 1),
        ("6400000 100000\n", MINE),
        ("odd", MINE),
        ("1 0", MINE),
    ],
)
def test_a_containers_limit_counts(tmp_path: Path, quota: str, cores: int) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    assert usable_cores(tmp_path / "cpu.max") == cores


def test_without_a_limit_all_count(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "none") == MINE
