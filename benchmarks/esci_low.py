"""What labels of low relevance are worth on ESCI: S, C and I of the training folds as hard negatives, or not.

``python -m benchmarks.esci_low --data FOLDER --minilm FOLDER --json FILE``; the folders are those of
`benchmarks.esci`. Systems that learn train on four folds and answer the fifth, three times each: with HNST
over those labels (and nothing mined), and by MNSCE alone. Nothing is chosen here: HNST's settings are the
defaults of the package. What is done is kept beside the JSON file, and a run goes on after a kill.
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
from benchmarks.esci_ours import SYSTEMS, System, configure
from benchmarks.esci_systems import run_scores
from benchmarks.report import Claim, ProgressLines, arguments, finish
from common.arrays import F64
from models.evaluation.statistics import Sums, seeds_difference
from models.towers.training_config import LossConfig
from models.training import train

SEEDS = (7, 8, 9)
_MEASURES = ("nDCG@10", "R@10", "R@100")
_LOSS = LossConfig()
#: The package's own HNST, over labels alone, and none.
_ARMS: Mapping[str, Mapping[str, Any]] = {
    "with": {"loss.beta": _LOSS.beta, "loss.mined_share": 0.0},
    "without": {"loss.beta": 0.0},
}


def main() -> int:
    """Run it; the exit status is 0 when no interval of a loss lies below 0."""
    learn = [system.key for system in SYSTEMS if system.learns]
    options = arguments(
        __doc__ or "",
        (
            ("--data", {"type": Path, "required": True, "help": "folder of the cut of ESCI"}),
            ("--minilm", {"type": Path, "required": True, "help": "all-MiniLM-L6-v2 in Hugging Face layout"}),
            ("--only", {"help": "some systems alone", "nargs": "+", "choices": learn, "default": learn}),
            ("--work", {"type": Path, "help": "folder for what is done (default: beside the JSON file)"}),
        ),
    )
    setting = "quick" if options.quick else "full"
    work: Path = (options.work or (options.json or Path("esci_low.json")).with_suffix("")) / setting
    work.mkdir(parents=True, exist_ok=True)
    data = read_esci(options.data)
    if options.quick:
        data = data.only(0)
    seeds = SEEDS[:1] if options.quick else SEEDS
    runs: dict[str, Any] = {"seeds": list(seeds), "low labels": _count(options.data, work), "systems": {}}
    claims = []
    for system in (s for s in SYSTEMS if s.key in options.only):
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
    sides = [[_sums(answers, data) for answers in side] for side in (ours, theirs)]
    gaps = {
        name: seeds_difference(*([each[name] for each in side] for side in sides), paired=True).as_dict()
        for name in (*_MEASURES, "AUC by query")
    }
    means = [{name: float(np.mean([each[name].value for each in side])) for name in gaps} for side in sides]
    pooled = [
        float(np.mean([auc(answers.pairs, data.is_exact) for answers in side])) for side in (ours, theirs)
    ]
    return {
        "with": {**means[0], "AUC": pooled[0]},
        "without": {**means[1], "AUC": pooled[1]},
        "with less without": gaps,
    }


def _sums(answers: Answers, data: Esci) -> dict[str, Sums]:
    found = by_queries(answers, data)
    return {name: found[name] for name in _MEASURES} | {"AUC by query": auc_by_query(answers.pairs, data)}


def auc_by_query(scores: F64, data: Esci) -> Sums:
    """Of each query that has Exact and other judged products: the share of pairs in the right order."""
    total, weight = np.zeros(len(data.queries)), np.zeros(len(data.queries))
    for query in range(len(data.queries)):
        own = data.pairs[:, 0] == query
        if 0 < data.is_exact[own].sum() < own.sum():
            total[query], weight[query] = auc(scores[own], data.is_exact[own]), 1.0
    return Sums(total, weight)


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
            train(shop, place, config, ProgressLines(f"{place.name} "))
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
