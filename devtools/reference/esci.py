"""Of ``docs/measured.md``: tables of ESCI, from reports of `benchmarks.esci` and `benchmarks.esci_folds`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from devtools.reference.results import RESULTS

_FIGURES = ("nDCG@10", "R@1", "R@10", "R@100", "AUC")
_GAINS = ("nDCG@10", "R@10", "R@100")
#: What the report of folds has under names of its own.
_FOLDED = "{}, each fold's start chosen on the others"


def made() -> str:
    """Two tables: what each system finds, and by how much that is more than a peer finds."""
    one, folds = (_runs(name) for name in ("esci", "esci_folds"))
    figures = dict(one["table"])
    gains: dict[str, Mapping[str, Any]] = {**one["less BM25 and MiniLM"], **one["mixes less their routes"]}
    # The peers of both are the same.
    own = [name for name in folds["table"] if name in folds["gains"]]
    figures |= {_FOLDED.format(name): folds["table"][name] for name in own}
    gains |= {_FOLDED.format(name): folds["gains"][name] for name in own}
    lines = ["", _line(["system", *_FIGURES]), _rule(1 + len(_FIGURES))]
    ordered = sorted(figures.items(), key=lambda row: -row[1]["nDCG@10"]["value"])
    lines += [_line([name, *(f"{row[key]['value']:.3f}" for key in _FIGURES)]) for name, row in ordered]
    lines += ["", _line(["system", "less", *_GAINS]), _rule(2 + len(_GAINS))]
    lines += [_line(cells) for name, _ in ordered for cells in _differences(name, gains.get(name, {}))]
    return "\n".join([*lines, "", ""])


def _differences(name: str, gains: Mapping[str, Any]) -> Iterator[list[str]]:
    for peer, gain in gains.items():
        yield [name, peer, *(_interval(gain[key]) for key in _GAINS)]


def _interval(gain: Mapping[str, float]) -> str:
    bounds = f"{gain['value']:+.3f} ({gain['low']:+.4f} to {gain['high']:+.4f})"
    return f"**{bounds}**" if gain["low"] > 0 else bounds


def _runs(name: str) -> Mapping[str, Any]:
    runs: Mapping[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["runs"]
    return runs


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    return "|" + "---|" * columns
