"""Cores that a process may use: those it may run on, less what a container's limit takes away."""

from __future__ import annotations

import os
import subprocess
import sys
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


#: Says what the variable is when numpy is first asked for, and ends.
_SPY = """
import os, sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "numpy":
            print("threads", os.environ.get("OPENBLAS_NUM_THREADS"))
            sys.stdout.flush()
            os._exit(0)
sys.meta_path.insert(0, Finder())
from cli.main import main
main()
"""


@pytest.mark.parametrize(("given", "found"), [(None, "1"), ("4", "4")])
@pytest.mark.parametrize("command", ["serve", "demo"])
def test_numpy_of_a_server_keeps_to_one_thread_unless_told_otherwise(
    command: str, given: str | None, found: str, tmp_path: Path
) -> None:
    """A product of 400 by 16 rows took 20 ms where it was shared by cores of which one had other work."""
    environment = {key: value for key, value in os.environ.items() if key != "OPENBLAS_NUM_THREADS"}
    if given is not None:
        environment["OPENBLAS_NUM_THREADS"] = given
    done = subprocess.run(
        [sys.executable, "-c", _SPY, command],
        env=environment | {"PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == f"threads {found}\n", done.stderr
