"""What a system answers on ESCI, and how good that is: one row of the table, with its intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.esci_data import Esci
from common.arrays import F64, I64, Bool, Floats
from common.files import replacing
from models.evaluation.measures import ndcg_at
from models.evaluation.statistics import Sums, bootstrap, by_query, difference

KS = (1, 10, 100)
DEPTH = max(KS)


@dataclass(frozen=True)
class Answers:
    """``top`` int64 ``[q, 100]``, product rows best first, -1 where nothing was found; ``pairs`` float64
    ``[n]``, the scores of the judged pairs."""

    top: I64
    pairs: F64

    @classmethod
    def from_scores(cls, scores: Floats, data: Esci, queries: I64) -> Answers:
        """From the scores ``[len(queries), N]`` of some queries; those of all others stay empty."""
        top = np.full((len(data.queries), DEPTH), -1, dtype=np.int64)
        # Stable, so that ties fall in catalogue order on every machine.
        best = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
        top[queries, : best.shape[1]] = best
        place = np.full(len(data.queries), -1)
        place[queries] = np.arange(len(queries))
        asked = place[data.pairs[:, 0]]
        pairs = np.where(asked >= 0, scores[asked, data.pairs[:, 1]], np.nan).astype(np.float64)
        return cls(top, pairs)

    def joined(self, other: Answers) -> Answers:
        """With the answers of another fold where this one has none."""
        return Answers(
            np.where(self.top >= 0, self.top, other.top),
            np.where(np.isnan(self.pairs), other.pairs, self.pairs),
        )

    def save(self, path: Path) -> None:
        """Write to a file that appears when it is whole."""
        with replacing(path) as written:
            np.savez(written, top=self.top, pairs=self.pairs)

    @classmethod
    def load(cls, path: Path) -> Answers:
        """What `save` wrote."""
        with np.load(path) as stored:
            return cls(stored["top"], stored["pairs"])


def by_queries(answers: Answers, data: Esci) -> dict[str, Sums]:
    """nDCG@10 and R@K of each query that has an Exact product (all its Exact products count alike)."""
    asked = [query for query, rows in enumerate(data.exact) if rows]
    hits = np.array([np.isin(answers.top[query], data.exact[query]) for query in asked])
    counts = np.array([len(data.exact[query]) for query in asked])
    ideal = (np.arange(counts.max())[None, :] < counts[:, None]).astype(np.float64)
    values = {"nDCG@10": ndcg_at(hits.astype(np.float64), ideal, 10)}
    values |= {f"R@{k}": hits[:, :k].sum(axis=1) / counts for k in KS}
    rows = np.arange(len(asked))
    return {name: by_query(value.astype(np.float64), rows, len(asked)) for name, value in values.items()}


def auc(scores: F64, positive: Bool) -> float:
    """Share of (positive, negative) pairs in which the positive scores higher; ties count half."""
    distinct, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    p = int(positive.sum())
    n = len(positive) - p
    return float((ranks[positive].sum() - p * (p + 1) / 2) / (p * n)) if p and n and len(distinct) else 0.5


def measure(answers: Answers, data: Esci) -> dict[str, Any]:
    """Every figure with its 95% bootstrap interval over queries."""
    result: dict[str, Any] = {}
    for name, sums in by_queries(answers, data).items():
        result[name] = bootstrap(sums).as_dict()
    rng = np.random.default_rng(0)
    count = len(data.is_exact)
    drawn = [rng.integers(count, size=count) for _ in range(1000)]
    values = [auc(answers.pairs[rows], data.is_exact[rows]) for rows in drawn]
    low, high = np.quantile(values, [0.025, 0.975])
    result["AUC"] = {"value": auc(answers.pairs, data.is_exact), "low": float(low), "high": float(high)}
    return result


def gain(ours: Answers, theirs: Answers, data: Esci) -> dict[str, float | None]:
    """R@10 of one system less another's over the same queries, with its 95% interval."""
    return difference(by_queries(ours, data)["R@10"], by_queries(theirs, data)["R@10"]).as_dict()


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The figures as text."""
    names = ["nDCG@10", *(f"R@{k}" for k in KS), "AUC"]
    width = max(map(len, rows))
    lines = [f"{'':<{width}}" + "".join(f"{name:>9}" for name in names)]
    for system, figures in rows.items():
        lines.append(f"{system:<{width}}" + "".join(f"{figures[name]['value']:>9.3f}" for name in names))
    return "\n".join(lines)


def plot(rows: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """R@10 and AUC of each system with their intervals."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 0.5 * len(rows) + 1), sharey=True)
    for axis, name in zip(axes, ("R@10", "AUC"), strict=True):
        for place, figures in enumerate(rows.values()):
            value, low, high = (figures[name][part] for part in ("value", "low", "high"))
            axis.errorbar(value, place, xerr=[[value - low], [high - value]], fmt="o", capsize=3)
        axis.set_xlabel(name)
        axis.grid(visible=True, axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(rows)), list(rows))
    axes[0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
