"""Of ``docs/measured.md``: tables of ESCI, from reports of `benchmarks.esci` and `benchmarks.esci_folds`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from devtools.reference.tables import bounds, head, line, runs_of

_FIGURES = ("nDCG@10", "R@1", "R@10", "R@100", "AUC")
_GAINS = ("nDCG@10", "R@10", "R@100")
#: What the report of folds has under names of its own.
_FOLDED = "{}, each fold's start chosen on the others"


def made() -> str:
    """Two tables: what each system finds, and by how much that is more than a peer finds."""
    one, folds = (runs_of(name) for name in ("esci", "esci_folds"))
    figures = dict(one["table"])
    gains: dict[str, Mapping[str, Any]] = {**one["less BM25 and MiniLM"], **one["mixes less their routes"]}
    # The peers of both are the same.
    own = [name for name in folds["table"] if name in folds["gains"]]
    figures |= {_FOLDED.format(name): folds["table"][name] for name in own}
    gains |= {_FOLDED.format(name): folds["gains"][name] for name in own}
    lines = ["", *head(["system", *_FIGURES])]
    ordered = sorted(figures.items(), key=lambda row: -row[1]["nDCG@10"]["value"])
    lines += [line([name, *(f"{row[key]['value']:.3f}" for key in _FIGURES)]) for name, row in ordered]
    lines += ["", *head(["system", "less", *_GAINS])]
    lines += [line(cells) for name, _ in ordered for cells in _differences(name, gains.get(name, {}))]
    return "\n".join([*lines, "", ""])


def _differences(name: str, gains: Mapping[str, Any]) -> Iterator[list[str]]:
    for peer, gain in gains.items():
        yield [name, peer, *(bounds(gain[key], value="+.3f") for key in _GAINS)]
