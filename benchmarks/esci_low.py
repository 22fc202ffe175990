"""What labels of low relevance are worth on ESCI: S, C and I of the training folds as hard negatives, or not.

``python -m benchmarks.esci_low --data FOLDER --minilm FOLDER --json FILE``; the folders are those of
`benchmarks.esci`. Systems train on four folds and answer the fifth, with HNST over those labels (and nothing
mined), and by MNSCE alone: those named ``…-fusion`` their fusion alone, over experts as they are given, the
others as `benchmarks.esci` has them. Nothing is chosen here: HNST's settings are the defaults of the package.
What is done is kept beside the JSON file, and a run goes on after a kill.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from artifacts.shop.shop import Shop
from benchmarks.esci_data import FOLDS, Esci, read_esci, write_fold
from benchmarks.esci_measure import Answers, auc, by_queries
from benchmarks.esci_ours import GIVEN, NGRAMS, SYSTEMS, System, configure
from benchmarks.esci_systems import run_scores
from benchmarks.report import Claim, ProgressLines, arguments, finish
from common.arrays import I64
from models.evaluation.statistics import Interval, seeds_difference
from models.towers.training_config import LossConfig
from models.training import train

SEEDS = (7, 8, 9)
#: Over experts that take no step; they are the same for every fold and seed.
FROZEN = tuple(
    System(
        f"{system.key}-fusion",
        system.name.replace("nothing trained", "the fusion trained"),
        {**system.settings, "stage2.steps": 60},
    )
    for system in SYSTEMS
    if system.name in (GIVEN, NGRAMS)
)
_EXPERTS = ("stage1.pt", "item_features.npy")
_MEASURES = ("nDCG@10", "R@10", "R@100")
_LOSS = LossConfig()
#: The package's own HNST, over labels alone, and none.
_ARMS: Mapping[str, Mapping[str, Any]] = {
    "with": {"loss.beta": _LOSS.beta, "loss.mined": False},
    "without": {"loss.beta": 0.0},
}


def main() -> int:
    """Run it; the exit status is 0 when no interval of a loss lies below 0."""
    systems = [*FROZEN, *(system for system in SYSTEMS if system.learns)]
    learn = [system.key for system in systems]
    options = arguments(
        __doc__ or "",
        (
            ("--data", {"type": Path, "required": True, "help": "folder of the cut of ESCI"}),
            ("--minilm", {"type": Path, "required": True, "help": "all-MiniLM-L6-v2 in Hugging Face layout"}),
            ("--only", {"help": "some systems alone", "nargs": "+", "choices": learn, "default": learn}),
            ("--seeds", {"type": int, "nargs": "+", "default": list(SEEDS)}),
            ("--work", {"type": Path, "help": "folder for what is done (default: beside the JSON file)"}),
        ),
    )
    setting = "quick" if options.quick else "full"
    work: Path = (options.work or (options.json or Path("esci_low.json")).with_suffix("")) / setting
    work.mkdir(parents=True, exist_ok=True)
    data = read_esci(options.data)
    if options.quick:
        data = data.only(0)
    seeds = options.seeds[:1] if options.quick else options.seeds
    runs: dict[str, Any] = {"seeds": list(seeds), "low labels": _count(options.data, work), "systems": {}}
    claims = []
    for system in (s for s in systems if s.key in options.only):
        answers = {arm: [_answers(system, arm, seed, options, data, work) for seed in seeds] for arm in _ARMS}
        told = compared(answers["with"], answers["without"], data)
        runs["systems"][system.name] = told
        for name, gap in told["with less without"].items():
            print(f"{system.name}: {name} {gap['value']:+.4f} ({gap['low']:+.4f} to {gap['high']:+.4f})")
            claims.append(
                Claim.at_least(f"{system.name}: high end of {name}, with less without", gap["high"], 0.0)
            )
    return finish(claims, runs, options.json, setting="quick" if options.quick else "full")


def compared(ours: list[Answers], theirs: list[Answers], data: Esci) -> dict[str, Any]:
    """Means over seeds, and gaps with their 95% intervals over seeds and queries."""
    sides = [[by_queries(answers, data) for answers in side] for side in (ours, theirs)]
    gaps = {
        name: seeds_difference(*([each[name] for each in side] for side in sides), paired=True).as_dict()
        for name in _MEASURES
    }
    told: dict[str, Any] = {}
    for which, side, answers in zip(_ARMS, sides, (ours, theirs), strict=True):
        told[which] = {name: float(np.mean([each[name].value for each in side])) for name in _MEASURES}
        told[which]["AUC"] = float(np.mean([auc(each.pairs, data.is_exact) for each in answers]))
    return {**told, "with less without": {**gaps, "AUC": auc_gap(ours, theirs, data)}}


def auc_gap(
    ours: list[Answers], theirs: list[Answers], data: Esci, resamples: int = 500
) -> dict[str, float | None]:
    """AUC of the judged pairs with less without, drawn by query, for most have one pair, and by seed."""
    rng = np.random.default_rng(0)
    order = np.argsort(data.pairs[:, 0], kind="stable")
    asked = np.split(order, np.flatnonzero(np.diff(data.pairs[order, 0])) + 1)

    def gap(rows: I64, seeds: I64) -> float:
        both = (
            [auc(side[seed].pairs[rows], data.is_exact[rows]) for seed in seeds] for side in (ours, theirs)
        )
        one, other = (float(np.mean(each)) for each in both)
        return one - other

    drawn = []
    for _ in range(resamples):
        queries = rng.integers(len(asked), size=len(asked))
        drawn.append(
            gap(np.concatenate([asked[q] for q in queries]), rng.integers(len(ours), size=len(ours)))
        )
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(gap(order, np.arange(len(ours))), float(low), float(high)).as_dict()


def _count(source: Path, work: Path) -> dict[str, float]:
    """How many labels of low relevance the training folds have, on average."""
    counts = []
    for fold in range(FOLDS):
        events = Shop.open(write_fold(source, fold, work / f"shop-{fold}")).events()
        labels = [event.relevance for event in events if event.split == "train"]
        counts.append(sum(1 for label in labels if label is not None and label <= _LOSS.low_relevance))
    return {"a fold's training": float(np.mean(counts))}


def _answers(system: System, arm: str, seed: int, options: Any, data: Esci, work: Path) -> Answers:
    """Train on four folds and answer the fifth, for each fold, unless that was done before."""
    settings = replace(system, settings={**system.settings, **_ARMS[arm], "seed": seed})
    config = configure(settings, options.minilm, quick=options.quick)
    parts = []
    for fold in range(1 if options.quick else FOLDS):
        place = work / f"{system.key}-{arm}-{seed}-{fold}"
        path = place.with_suffix(".npz")
        if not path.is_file():
            shop = write_fold(options.data, fold, work / f"shop-{fold}")
            experts = work / f"{system.key}-experts"
            known = experts if experts.is_dir() else None
            train(shop, place, config, ProgressLines(f"{place.name} "), experts=known)
            if system in FROZEN and known is None:
                experts.mkdir()
                for name in _EXPERTS:
                    (experts / name).hardlink_to(place / name)
            queries = np.flatnonzero(data.folds == fold)
            Answers.from_scores(run_scores(place, data, queries), data, queries).save(path)
            shutil.rmtree(place)
        parts.append(Answers.load(path))
    found = parts[0]
    for part in parts[1:]:
        found = found.joined(part)
    return found


if __name__ == "__main__":
    sys.exit(main())
