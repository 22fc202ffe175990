"""What three times the load is compared with: the peak of a machine whose speed changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from artifacts.bundle import Bundle
from benchmarks.overload import Mix
from cli.demo_files import demo_bundle


class Machine(Mix):
    """A mix on a machine that now bears ``bears`` requests a second, and a tenth of it under more."""

    bears = 0.0

    def closed(self, connections: int, seconds: float) -> dict[str, Any]:
        return {"goodput_per_s": self.bears * (1.0 if connections == 8 else 0.5)}

    def at(self, rate: float, seconds: float) -> dict[str, Any]:
        return {"goodput_per_s": rate if rate <= self.bears else self.bears / 10}


@pytest.mark.parametrize(
    ("bears", "peak"),
    [pytest.param(2000, 2000, id="faster"), pytest.param(1040, 1040, id="as before"), (500, 500)],
)
def test_a_peak_that_a_rate_found_is_seen_on_a_machine_that_became_faster_or_slower(
    bears: float, peak: float, tmp_path: Path
) -> None:
    found = [
        {"connections": 4, "goodput_per_s": 500.0},
        {"connections": 8, "goodput_per_s": 1000.0},
        {"rate": 1030.0, "goodput_per_s": 1029.0},
        {"rate": 1200.0, "goodput_per_s": 100.0},
    ]
    machine = Machine("single", Bundle.load(demo_bundle()), tmp_path, 0)
    machine.bears = bears
    assert machine.again(found, 1.0) == peak
