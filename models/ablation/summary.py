"""What the matrix says: figures of each cell, its difference to the full model, and which claims hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from models.ablation.matrix import FULL, Cell, Claim, claims
from models.ablation.runs import Outcome
from models.evaluation.measures import shown
from models.evaluation.statistics import UNKNOWN, Interval, Sums, seeds_difference

Held = Literal["holds", "not shown", "reversed", "unknown"]


@dataclass(frozen=True)
class CellSummary:
    """A cell over its seeds.

    Attributes:
        cell: the cell.
        seeds: of its finished runs.
        seconds: mean over runs that were done in one go, None where there is none.
        parameters: of experts and fusion.
        failed: why runs have no figures.
        values: figures by slice and shown measure, with intervals over seeds and queries.
        gaps: the full model (over the same shop) less this cell, where both answered the same requests.
    """

    cell: Cell
    seeds: tuple[int, ...]
    seconds: float | None
    parameters: int
    failed: tuple[str, ...]
    values: dict[tuple[str, str], Interval]
    gaps: dict[tuple[str, str], Interval]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "cell": self.cell.name,
            "group": self.cell.group,
            "x": self.cell.x,
            "seeds": list(self.seeds),
            "seconds": self.seconds,
            "parameters": self.parameters,
            "failed": list(self.failed),
            "values": {"|".join(key): value.as_dict() for key, value in self.values.items()},
            "full_less_it": {"|".join(key): value.as_dict() for key, value in self.gaps.items()},
        }


@dataclass(frozen=True)
class CheckedClaim:
    """A claim, the difference that was measured and whether it holds."""

    claim: Claim
    gap: Interval
    held: Held

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**vars(self.claim), **self.gap.as_dict(), "held": self.held}


def summarise(
    cells: Sequence[Cell], outcomes: dict[str, list[Outcome]], *, resamples: int = 1000
) -> list[CellSummary]:
    """Figures of every cell of the matrix that has a finished run, from the outcomes by the cell's name."""
    measures = shown()
    found = []
    for cell in cells:
        runs = outcomes.get(cell.name, [])
        if not runs:
            continue
        good = [run for run in runs if not run.failed]
        keys = [(s, m) for s, m in (good[0].sums if good else {}) if m in measures]
        values = {key: _value(good, key, resamples) for key in keys}
        gaps = {}
        if cell.name != FULL and cell.part == 1 and cell.against is not None:
            other = outcomes.get(cell.against, [])
            gaps = {key: gap(other, good, key, resamples=resamples) for key in keys}
        seconds = [run.seconds for run in good if run.seconds is not None]
        found.append(
            CellSummary(
                cell,
                tuple(run.seed for run in runs),
                float(np.mean(seconds)) if seconds else None,
                good[0].parameters if good else 0,
                tuple(f"seed {run.seed}: {run.failed}" for run in runs if run.failed),
                values,
                gaps,
            )
        )
    return found


def check(outcomes: dict[str, list[Outcome]], *, resamples: int = 1000) -> list[CheckedClaim]:
    """Every claim, as far as its cells have run."""
    checked = []
    for claim in claims():
        sides = (outcomes.get(FULL, []), outcomes.get(claim.cell, []))
        found = gap(*sides, (claim.slice, claim.measure), relative=claim.relative, resamples=resamples)
        checked.append(CheckedClaim(claim, found, verdict(claim, found)))
    return checked


def verdict(claim: Claim, found: Interval) -> Held:
    """Whether an interval bears a claim out; "not shown" where it leaves it open."""
    if np.isnan(found.low):
        return "unknown"
    if claim.no_loss:
        return "reversed" if found.high < 0 else "holds"
    # A relative claim is of the size of the gain; that there is one at all the interval has to show.
    if found.low > 0 and found.value >= claim.more:
        return "holds"
    return "reversed" if found.high < 0 else "not shown"


def gap(
    ours: Sequence[Outcome],
    theirs: Sequence[Outcome],
    key: tuple[str, str],
    *,
    relative: bool = False,
    resamples: int = 1000,
) -> Interval:
    """Ours less theirs, seeds and queries drawn; unknown where they did not answer the same queries."""
    sides = [[run.sums[key] for run in runs if key in run.sums] for runs in (ours, theirs)]
    if len({len(sums.weight) for side in sides for sums in side}) != 1:
        return UNKNOWN
    return seeds_difference(sides[0], sides[1], relative=relative, resamples=resamples)


def _value(runs: Sequence[Outcome], key: tuple[str, str], resamples: int) -> Interval:
    """A figure is its difference to nothing."""
    sums = [run.sums[key] for run in runs if key in run.sums]
    nothing = Sums(np.zeros_like(sums[0].total), np.ones_like(sums[0].weight))
    return seeds_difference(sums, [nothing], resamples=resamples)
