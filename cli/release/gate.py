"""Whether a bundle may serve: no measure surely worse than that of the bundle that serves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cli.release.plan import Gate


@dataclass(frozen=True)
class Line:
    """A measure on a slice: what is gained over the bundle that serves, with its paired 95% interval."""

    slice: str
    measure: str
    gain: float
    low: float
    high: float
    worse: bool

    def __str__(self) -> str:
        return f"{self.measure} ({self.slice}) {self.gain:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


@dataclass(frozen=True)
class Judgement:
    """What the gate says; ``refused`` is why, or None."""

    lines: tuple[Line, ...]
    refused: str | None

    @property
    def says(self) -> str:
        """One line."""
        if self.refused is not None:
            return self.refused
        least = min(self.lines, key=lambda line: line.gain)
        return f"none of {len(self.lines)} measures is surely worse; least gained: {least}"


def judge(evaluation: Mapping[str, Any], against: str, gate: Gate) -> Judgement:
    """Judge the JSON of `mrse evaluate --against`.

    Args:
        evaluation: the JSON.
        against: version of the bundle that serves.
        gate: what is compared.
    """
    compared = {(c["slice"], c["measure"]): c for c in evaluation["comparisons"] if c["against"] == against}
    lines = []
    for place in gate.slices:
        for measure in gate.measures:
            found = compared.get((place, measure))
            if found is None or any(_unknown(found[key]) for key in ("value", "low", "high")):
                continue
            gain, low, high = found["value"], found["low"], found["high"]
            lines.append(Line(place, measure, gain, low, high, high < -gate.loss))
    return Judgement(tuple(lines), _refusal(evaluation, lines, gate))


def _refusal(evaluation: Mapping[str, Any], lines: list[Line], gate: Gate) -> str | None:
    for place in gate.slices:
        queries = max(
            (row["queries_of_slice"] for row in evaluation["slices"] if row["slice"] == place), default=0
        )
        if queries < gate.queries:
            return (
                f"{queries} held-out queries in the slice {place}, fewer than {gate.queries} "
                "(gate.queries): nothing can be said"
            )
    if not lines:
        return f"none of {', '.join(gate.measures)} is known of both bundles"
    worse = [line for line in lines if line.worse]
    if worse:
        return f"surely worse than what serves: {'; '.join(map(str, worse))}"
    return None


def _unknown(value: float | None) -> bool:
    return value is None or math.isnan(value)
