"""Of ``docs/measured.md``: what hard negatives are worth, from what `sparse` and `esci_low` reported."""

from __future__ import annotations

import math

from devtools.reference.tables import bounds, head, line, runs_of

_ESCI = ("nDCG@10", "R@10", "R@100", "AUC")
_TOLD = ("AUC low", "R-prec@10", "nDCG@10", "Recall@100")


def made() -> str:
    """By how much both losses give more than MNSCE alone, from where a step sees least of the catalogue."""
    runs = runs_of("sparse")
    lines = ["", *head(["items", "a step sees", "loss", "seeds", *_TOLD, "steps"])]
    for point in sorted(runs["points"].values(), key=lambda point: point["seen"]):
        for place, (name, arm) in enumerate(point["arms"].items()):
            cells = [
                f"{arm['figures'][key]:.3f}" if place == 0 else bounds(arm["gains"][key]) for key in _TOLD
            ]
            steps = ", ".join("never" if math.isnan(step) else f"{step:.0f}" for step in arm["steps"])
            seen, seeds = f"{point['seen']:.2%}", str(arm["seeds"])
            lines.append(line([f"{point['items']:,}", seen, name, seeds, *cells, steps]))
    return "\n".join([*lines, "", ""])


def esci() -> str:
    """What ESCI's own labels of low relevance change, from the report of `benchmarks.esci_low`."""
    runs = runs_of("esci_low")
    (labels,) = runs["low labels"].values()
    lines = ["", *head(["system", "seeds", "labels of a fold's training", *_ESCI])]
    for name, told in runs["systems"].items():
        gaps = (bounds(told["with less without"][key]) for key in _ESCI)
        lines.append(line([name, str(len(runs["seeds"])), f"{labels:,.0f}", *gaps]))
    return "\n".join([*lines, "", ""])
