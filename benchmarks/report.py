"""What every benchmark hands in: claims with their goals, all runs, and the machine they ran on."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Claim:
    """One measured claim. ``goal`` says in words what was to be reached, as ``>= 2`` or ``<= 10 ms``."""

    name: str
    value: float
    goal: str
    holds: bool

    @classmethod
    def at_least(cls, name: str, value: float, goal: float, unit: str = "") -> Claim:
        """A claim that holds from ``goal`` up."""
        return cls(name, round(float(value), 4), f">= {goal:g}{unit and ' ' + unit}", value >= goal)

    @classmethod
    def at_most(cls, name: str, value: float, goal: float, unit: str = "") -> Claim:
        """A claim that holds from ``goal`` down."""
        return cls(name, round(float(value), 4), f"<= {goal:g}{unit and ' ' + unit}", value <= goal)


def above_zero(name: str, gap: Mapping[str, Any]) -> Claim:
    """That a gain is above 0 by more than chance: ``gap`` has the ``low`` end of its interval."""
    low = float(gap["low"])
    return Claim(name, round(low, 4), "> 0", low > 0)


def arguments(description: str, extend: Sequence[tuple[str, Mapping[str, Any]]] = ()) -> argparse.Namespace:
    """The command line that all benchmarks share: ``--quick``, ``--json FILE`` and what ``extend`` adds."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs; shows that it works")
    parser.add_argument("--json", type=Path, help="write claims, runs and machine to this file")
    for name, options in extend:
        parser.add_argument(name, **options)
    return parser.parse_args()


def machine() -> dict[str, Any]:
    """Facts about the machine that the figures depend on."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": _cpu_model(),
        "cores": usable,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        #: How busy the machine was with other work: above `cores` the figures are too low.
        "load_1m": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def finish(
    claims: Sequence[Claim],
    runs: Mapping[str, Any] | Sequence[Any],
    target: Path | None,
    *,
    setting: Literal["quick", "full"] = "full",
) -> int:
    """Print the claims as a table, write the report, and return the exit status: 0 when all claims hold."""
    width = max((len(claim.name) for claim in claims), default=0)
    for claim in claims:
        verdict = "ok" if claim.holds else "MISSED"
        print(f"{claim.name:<{width}}  {claim.value:>12g}  {claim.goal:<12}  {verdict}")
    if target is not None:
        report = {
            "claims": [asdict(claim) for claim in claims],
            "runs": runs,
            "machine": machine(),
            "setting": setting,
            "options": options_of(sys.argv[1:]),
            "date": datetime.now(UTC).date().isoformat(),
        }
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(report, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        print(f"written to {target}", file=sys.stderr)
    return 0 if all(claim.holds for claim in claims) else 1


def options_of(given: Sequence[str]) -> list[str]:
    """A command line for others: without ``--json``, and with a word for what is a machine's own place."""
    kept: list[str] = []
    words = iter(given)
    for word in words:
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        if word == "--json":
            next(words, None)
        elif option != "--json":
            kept.append(option + equals + _place(value))
    return kept


def _place(value: str) -> str:
    if "/" not in value:
        return value
    return "URL" if "://" in value else "PATH"


class ProgressLines:
    """Progress on standard error: a line every ten seconds, and one when a stage begins and ends.

    Args:
        name: of what makes progress, ahead of each line.
    """

    def __init__(self, name: str = "") -> None:
        self._name, self._stage, self._at = name, "", 0.0

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Take note of it."""
        now = time.monotonic()
        if stage != self._stage or done == total or now - self._at > 10:
            self._stage, self._at = stage, now
            of_all = f" of {total:,}" if total else ""
            print(f"{self._name}{stage}: {done:,}{of_all}", file=sys.stderr, flush=True)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
