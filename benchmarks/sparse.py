"""What hard negatives are worth where a step sees little of the catalogue: both losses beside MNSCE alone.

``python -m benchmarks.sparse --json FILE``. Synthetic shops; a frozen image encoder (the extra ``pictures``).
A model of MNSCE alone is served. What it lists first for each query of the train split is judged: a part of
what is graded low becomes the log's labels, the rest is held out and judges (AUC). Of the labels none, a
tenth or three tenths are made wrong: they call low what answers the query. Arms go on from the served
experts, with a fusion of their own, by MNSCE alone and by both losses. A step sees its batch and uniform
items: from 0.1% of 200,000 items to 19% of 4,000.

Settings were chosen on val of one seed; the test split is measured once. Steps are those until val's
R-precision@10 has come 95% of the way from where stage 2 starts to where MNSCE alone ends. What is done is
kept beside the JSON file, and a run goes on after a kill; ``--split val --seeds 7`` is for choosing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Claim, above_zero, arguments, finish
from benchmarks.sparse_measure import TOLD
from benchmarks.sparse_runs import ALONE, Arm, Point, Served, Trained, finished, steps_to
from models.evaluation.statistics import seeds_difference

SEEDS = (7, 8, 9)
#: The sparse regime, the dense one with the preset's uniform negatives, and what lies between.
SPARSE = Point(200_000, 400_000)
DENSE = Point(4_000, 40_000, uniform=2.0)
POINTS: Mapping[str, Point] = {
    "sparse": SPARSE,
    "dense": DENSE,
    "20000": Point(20_000, 60_000),
    "4000": Point(4_000, 40_000),
}
_QUICK = Point(400, 4_000, batch=32, steps=(8, 4, 8))
_CLAIMED, _GOAL = TOLD[:2], 0.95
_SEARCHES, _LOOKS = 3_000, 5


#: Chosen on val of one seed: labels alone, from the first step on, less those that look like answers. The
#: bound of beta lets go of labels that are learnt: the last of them would else have all of HNST's share.
HYBRID: Mapping[str, Any] = {
    "loss.mined": False,
    "loss.hard_after": 0.0,
    "loss.hard_coclicks": False,
    "loss.hard_share": 0.1,
    "loss.labels_kept": 0.5,
    "loss.beta_most": 5.0,
}


def hybrid(noise: float) -> Arm:
    """Both losses over labels of which a share is wrong."""
    return Arm(f"both losses, {noise:.0%} of the labels wrong", HYBRID, noise)


ARMS = (ALONE, *(hybrid(noise) for noise in (0.0, 0.1, 0.3)))


def main() -> int:
    """Run it; the exit status is 0 when all claims hold."""
    options = arguments(
        __doc__ or "",
        (
            ("--work", {"type": Path, "help": "folder for what is done (default: beside the JSON file)"}),
            ("--seeds", {"type": int, "nargs": "+", "default": list(SEEDS)}),
            ("--noisy-seeds", {"type": int, "help": "of the seeds those that wrong labels are tried with"}),
            ("--points", {"nargs": "+", "default": list(POINTS), "choices": list(POINTS)}),
            ("--split", {"default": "test", "choices": ["val", "test"]}),
        ),
    )
    work: Path = (options.work or (options.json or Path("sparse.json")).with_suffix("")).resolve()
    seeds = options.seeds[:1] if options.quick else options.seeds
    noisy = len(seeds) if options.noisy_seeds is None else options.noisy_seeds
    arms = [(arm, noisy if arm.noise else len(seeds)) for arm in ARMS]
    chosen = {"quick": _QUICK} if options.quick else {name: POINTS[name] for name in options.points}
    told = {}
    for name, point in chosen.items():
        # Wrong labels are tried where a step sees least.
        own = arms if name in ("quick", "sparse") else arms[:2]
        told[name] = measured(point, own, seeds, options.split, work)
        print(table(told[name]), flush=True)
    runs = {"split": options.split, "seeds": seeds, "points": told}
    if options.json and not options.quick:
        plot(told, options.json.with_suffix(".png"))
    found = [] if options.quick else claims(told)
    return finish(found, runs, options.json, setting="quick" if options.quick else "full")


def measured(
    point: Point, arms: Sequence[tuple[Arm, int]], seeds: Sequence[int], split: str, work: Path
) -> dict[str, Any]:
    """Train and measure the arms of a point, each with so many of the seeds; the others are less the first.

    All arms of a seed come before those of the next.
    """
    trained: dict[str, list[Trained]] = {arm.name: [] for arm, _ in arms}
    below = work / "arms" / point.name / split
    served: Served | None = None
    for place, seed in enumerate(seeds):
        for arm, count in arms:
            if place >= count:
                continue
            folder = below / str(seed) / arm.name.replace(" ", "-")
            if not finished(folder):
                served = served or Served(point, split, work, _SEARCHES)
                served.run(arm, seed, max(1, point.steps[2] // _LOOKS), folder)
                (below / "labels.json").write_text(json.dumps(served.labels()))
            trained[arm.name].append(Trained.read(folder))
    alone = trained[arms[0][0].name]
    return {
        "items": point.items,
        "seen": point.seen,
        "batch": point.batch,
        "uniform": point.uniform,
        "steps": list(point.steps),
        "labels": json.loads((below / "labels.json").read_text()),
        "arms": {name: _told(found, alone[: len(found)]) for name, found in trained.items()},
    }


def _told(ours: Sequence[Trained], alone: Sequence[Trained]) -> dict[str, Any]:
    """Means over seeds, gains over MNSCE alone with their intervals over seeds and queries, and steps."""
    steps = []
    for one, other in zip(ours, alone, strict=True):
        start, end = other.looks[0], other.looks[max(other.looks)]
        steps.append(steps_to(one.looks, start + _GOAL * (end - start)))
    gains = {}
    for name in TOLD:
        sides = ([each.sums[name] for each in side] for side in (ours, alone))
        gains[name] = seeds_difference(*sides, paired=True).as_dict()
    return {
        "figures": {name: float(np.mean([each.sums[name].value for each in ours])) for name in TOLD},
        "gains": gains,
        "seeds": len(ours),
        "steps": steps,
        "looks": [each.looks for each in ours],
    }


def claims(told: Mapping[str, Any]) -> list[Claim]:
    """More where a step sees little, in fewer steps; no less where it sees much."""
    found = []
    for where, name, arm, alone in _arms(told):
        for measure in _CLAIMED:
            gain, what = arm["gains"][measure], f"{where}, {name}: {{}} of {measure}"
            high = Claim.at_least(what.format("high end"), float(gain["high"]), 0.0)
            found.append(above_zero(what.format("low end"), gain) if where == "sparse" else high)
        if where == "sparse":
            steps, least = (float(np.mean(each["steps"][: arm["seeds"]])) for each in (arm, alone))
            found.append(Claim(f"{where}, {name}: steps", round(steps, 1), f"< {least:.1f}", steps < least))
    return found


def _arms(told: Mapping[str, Any]) -> Iterator[tuple[str, str, Any, Any]]:
    """Where claims are made, the arms, and MNSCE alone."""
    for where in ("sparse", "dense"):
        arms = told[where]["arms"] if where in told else {}
        for name, arm in arms.items():
            if name != ALONE.name:
                yield where, name, arm, arms[ALONE.name]


def table(point: Mapping[str, Any]) -> str:
    """The figures of a point as text."""
    lines = [f"{point['items']:,} items, a step sees {point['seen']:.2%}"]
    for name, arm in point["arms"].items():
        cells = []
        for measure in TOLD[:4]:
            gain = arm["gains"][measure]
            told = f"{gain['value']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f})"
            cells.append(f"{measure} {arm['figures'][measure]:.4f} {told}")
        lines.append(f"  {name:<42} {'  '.join(cells)}  steps {np.round(arm['steps'], 1).tolist()}")
    return "\n".join(lines)


def plot(told: Mapping[str, Any], path: Path) -> None:
    """Gains over MNSCE alone by the share of the catalogue that a step sees."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(_CLAIMED), figsize=(9, 3.5))
    points = sorted(told.values(), key=lambda point: point["seen"])
    for axis, measure in zip(axes, _CLAIMED, strict=True):
        for shift, name in enumerate(arm.name for arm in ARMS[1:]):
            having = [point for point in points if name in point["arms"]]
            gains = [point["arms"][name]["gains"][measure] for point in having]
            values = np.array([gain["value"] for gain in gains])
            bounds = np.array([[gain["low"] for gain in gains], [gain["high"] for gain in gains]])
            seen = np.array([point["seen"] for point in having]) * 1.06**shift
            axis.errorbar(seen, values, abs(bounds - values), fmt="o-", capsize=3, label=name)
        axis.axhline(0, color="grey", linewidth=0.8)
        axis.set(xscale="log", xlabel="share of the catalogue that a step sees", title=f"{measure}: gain")
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize="x-small")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main())
