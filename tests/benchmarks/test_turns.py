"""Two services that take turns are compared block by block, start by start."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks.servers import cpu_seconds
from benchmarks.turns import KINDS, SLOWER, Runs, blocks_of, claims_of


def start(factor: float, *, busy: float = 1.0) -> Runs:
    """What a start gave in which the second server takes ``factor`` as long; the machine gets busier."""
    one = [1.0, 1.0 * busy, 2.0 * busy]
    return {kind: {"ms": {"before": one, "now": [each * factor for each in one]}} for kind in KINDS}


def test_a_start_that_is_off_and_a_machine_that_gets_busier_do_not_decide() -> None:
    claims = claims_of([start(1.02), start(1.3), start(1.01, busy=5.0)])
    assert [claim.value for claim in claims] == [1.02] * len(KINDS)
    assert all(claim.holds for claim in claims)
    assert not any(claim.holds for claim in claims_of([start(SLOWER + 0.01)]))


def test_misses_are_never_asked_twice_and_hits_are() -> None:
    blocks = blocks_of(["i1", "i2"], [f"query {number}" for number in range(60)])
    asked = {kind: [json.loads(body)["query"] for body in next(blocks[kind])] for kind in ("hit", "miss")}
    assert len(set(asked["miss"])) == len(asked["miss"])
    assert len(set(asked["hit"])) <= 50 < len(asked["hit"])
    assert all(len(json.loads(body)["history"]) == 8 for body in next(blocks["browse"]))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_processor_time_of_a_session_is_that_of_its_processes() -> None:
    tell = "import time; print(time.process_time(), flush=True); input()"
    command = [sys.executable, "-c", tell]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        told = float(process.stdout.readline())
        assert cpu_seconds(process.pid) >= told > 0
        process.communicate("end\n")
