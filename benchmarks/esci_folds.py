"""ESCI without a training step, the start of the towers chosen fold by fold on queries that are not measured.

``python -m benchmarks.esci_folds --data FOLDER --minilm FOLDER --work FOLDER --json FILE``; the folders are
those of `benchmarks.esci`, whose ``--work`` this may share: what is done is not done again. For each
fold the gate's weight of the n-grams and ``fusion.whiten`` are those of a grid that have the best nDCG@10 on
the other four, for the towers alone and for the default mix each; the fold is answered with them. What
`benchmarks.esci` tells of such towers is of one start, which was chosen on all queries.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.esci import BM25, MINILM, above_claims, kept, mix_claims, trained, words
from benchmarks.esci_data import FOLDS, Esci, read_esci
from benchmarks.esci_measure import Answers, by_queries, measure, table
from benchmarks.esci_mix import BUILT_IN_MIX, Routes, default_mix, gains
from benchmarks.esci_ours import GIVEN, SYSTEMS, configure
from benchmarks.esci_systems import bm25_scores, fused, item_features, minilm_scores, query_experts
from benchmarks.report import Claim, arguments, finish
from common.arrays import F32
from models.towers import Towers
from models.training import load_finished
from models.training.components import start_from_components

#: Share of the n-grams in what the gate gives to both texts' experts; and powers of the deviation.
NGRAMS, WHITEN = (0.05, 0.125, 0.2, 0.34), (0.0, 0.15, 0.3, 0.5)
_SILENT = 0.2
_FIRST, _TOWERS = "nDCG@10", "the towers"


@dataclass(frozen=True)
class Start:
    """A start of the grid, and what comes of it on all queries."""

    ngrams: float
    whiten: float
    alone: Answers
    mix: Answers

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return {"ngrams": self.ngrams, "whiten": self.whiten}


def main() -> int:
    """Run it; the exit status is 0 when all claims hold."""
    options = arguments(
        __doc__ or "",
        (
            ("--data", {"type": Path, "required": True, "help": "folder of the cut of ESCI"}),
            ("--minilm", {"type": Path, "required": True, "help": "all-MiniLM-L6-v2 in Hugging Face layout"}),
            (
                "--work",
                {"type": Path, "required": True, "help": "folder for what is done, as benchmarks.esci's"},
            ),
        ),
    )
    work: Path = options.work / "full"
    work.mkdir(parents=True, exist_ok=True)
    data = read_esci(options.data)
    peers = {
        BM25: kept(work / "bm25.npz", lambda: bm25_scores(data), data),
        MINILM: kept(work / "minilm6.npz", lambda: minilm_scores(data, options.minilm, 6), data),
    }
    system = next(system for system in SYSTEMS if system.name == GIVEN)
    run = trained(system, configure(system, options.minilm, quick=False), options.data, work)
    starts = _starts(run, data, words(data, work), quick=options.quick)
    runs, claims = _told(starts, data, peers)
    print(table(runs["table"]))
    for name, worth in runs["gains"].items():
        for other, gain in worth.items():
            told = (f"{m} {g['value']:+.4f} ({g['low']:+.4f} to {g['high']:+.4f})" for m, g in gain.items())
            print(f"{name} less {other}: {', '.join(told)}")
    return finish(claims, runs, options.json, setting="quick" if options.quick else "full")


def _starts(run: Path, data: Esci, lexical: F32, *, quick: bool) -> list[Start]:
    """Every start of the grid, by the towers of a run that took no step, beside what words give."""
    finished, every = load_finished(run), np.arange(len(data.queries))
    experts, features = query_experts(finished, data.queries), item_features(run)
    found = []
    for ngrams, whiten in list(product(NGRAMS, WHITEN))[: 2 if quick else None]:
        paths = [run.with_name(f"start-{ngrams}-{whiten}-{name}.npz") for name in ("alone", "mix")]
        if not all(path.is_file() for path in paths):
            _begin(finished.towers, ngrams)
            start_from_components(finished.towers, features, whiten)
            cosines = fused(finished.towers, experts, features)
            Answers.from_scores(cosines, data, every).save(paths[0])
            default_mix(Routes(cosines, lexical, data), every).save(paths[1])
        found.append(Start(ngrams, whiten, *map(Answers.load, paths)))
        print(f"n-grams {ngrams}, whiten {whiten}", file=sys.stderr, flush=True)
    return found


def _begin(towers: Towers, ngrams: float) -> None:
    """Let the gate begin with so much for the n-grams; VBert is silent, whatever it gets."""
    texts = 1.0 - _SILENT
    begin = torch.tensor([_SILENT, texts * (1.0 - ngrams), texts * ngrams])
    with torch.no_grad():
        towers.query_fusion.gate.out.bias.copy_(begin.log())


def _told(
    starts: list[Start], data: Esci, peers: Mapping[str, Answers]
) -> tuple[dict[str, Any], list[Claim]]:
    """Answers of each fold by what was best on the others, with what they are better than."""
    towers, chosen_alone = by_folds([start.alone for start in starts], data)
    mix, chosen_mix = by_folds([start.mix for start in starts], data)
    answers = {_TOWERS: towers, BUILT_IN_MIX: mix, **peers}
    rows = {name: measure(found, data) for name, found in answers.items()}
    worth = {name: gains(answers[name], peers, data) for name in (_TOWERS, BUILT_IN_MIX)}
    worth[BUILT_IN_MIX] |= gains(mix, {_TOWERS: towers}, data)
    told = {
        "table": rows,
        "gains": worth,
        "chosen for the towers": [starts[place].as_dict() for place in chosen_alone],
        "chosen for the mix": [starts[place].as_dict() for place in chosen_mix],
        "grid": [
            start.as_dict()
            | {name: by_queries(getattr(start, name), data)[_FIRST].value for name in ("alone", "mix")}
            for start in starts
        ],
    }
    claims = mix_claims(rows, worth[BUILT_IN_MIX], _TOWERS, BM25)
    return told, claims + above_claims(_TOWERS, worth[_TOWERS], (BM25, MINILM), (_FIRST, "R@10"))


def by_folds(each: list[Answers], data: Esci) -> tuple[Answers, list[int]]:
    """The answers of several ways to answer, put together, and the place of the way that answers each fold:
    that with the best nDCG@10 on the queries of all other folds.
    """
    asked = data.folds[[query for query, rows in enumerate(data.exact) if rows]]
    values = np.stack([by_queries(answers, data)[_FIRST].total for answers in each])
    chosen = [int(values[:, asked != fold].mean(axis=1).argmax()) for fold in range(FOLDS)]
    way = np.array(chosen)[data.folds]
    tops, pairs = np.stack([answers.top for answers in each]), np.stack([answers.pairs for answers in each])
    top = tops[way, np.arange(len(way))]
    return Answers(top, pairs[way[data.pairs[:, 0]], np.arange(len(data.pairs))]), chosen


if __name__ == "__main__":
    sys.exit(main())
