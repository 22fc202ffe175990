"""The registry of measures: each has a name, what counts once in it, and the value of each request.

The paper names Recall@K, Rele@K_p and Rele@K_p_w; how they are defined is *inferred* and stands at the
functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from common.arrays import F64, Bool, Floats
from common.errors import MrseError
from models.evaluation.answers import Answers
from models.evaluation.grades import JudgeGrades
from models.evaluation.statistics import Sums, by_query, by_request, by_traffic
from models.synthetic import RELEVANT

#: What counts once. A query by traffic counts as often as it was searched for (`HeldOut.traffic`).
Unit = Literal["request", "query", "query by traffic"]


class MeasureError(MrseError, ValueError):
    """A measure cannot be registered."""


@dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes:
        name: in reports, JSON and claims.
        unit: what counts once.
        values: the value of each request, float64 ``[n]``; NaN where nothing is known.
        shown: whether terminal and ablation have a column of it; ``--json`` and the page have all.
    """

    name: str
    unit: Unit
    values: Callable[[Answers], F64]
    shown: bool = False


def recall(answers: Answers, k: int) -> F64:
    """Recall@K: whether the clicked item is in the top K; the mean is the share of clicked items found."""
    return ((answers.ranks > 0) & (answers.ranks <= k)).astype(np.float64)


def hit(answers: Answers) -> F64:
    """Hit@1: whether the first answer was clicked for the same query in the split."""
    return answers.clicked[:, 0].astype(np.float64)


def reciprocal_rank(answers: Answers) -> F64:
    """MRR: 1 / rank of the clicked item, 0 beyond the depth that is searched."""
    return np.where(answers.ranks > 0, 1.0 / np.maximum(answers.ranks, 1), 0.0)


def relevant(answers: Answers, k: int) -> F64:
    """Rele@K_p: share of the top K whose grade is at least p (`RELEVANT`); no answer is not relevant."""
    grades = answers.grades[:, :k]
    return np.where(np.isnan(grades[:, 0]), np.nan, (grades >= RELEVANT).sum(axis=1) / k)


def r_precision(answers: Answers, k: int) -> F64:
    """R-precision@K: of the relevant items that K places can hold, the share that is in the top K.

    Rele@K_p is at most R / K for a query with R relevant items; this is at most 1 for every query.
    """
    grades = answers.grades[:, :k]
    room = (answers.best_grades >= RELEVANT).sum(axis=1).clip(max=k)
    known = ~np.isnan(grades[:, 0]) & (room > 0)
    return np.where(known, (grades >= RELEVANT).sum(axis=1) / np.maximum(room, 1), np.nan)


def ndcg(answers: Answers, k: int) -> F64:
    """nDCG@K by grades; where a shop has none, by the items clicked for the query in the split."""
    if answers.held_out.grades is None:
        ideal = np.arange(k) < answers.clicks[:, None]
        return ndcg_at(answers.clicked.astype(np.float64), ideal.astype(np.float64), k)
    unknown = np.isnan(answers.grades[:, 0])
    return np.where(unknown, np.nan, ndcg_at(answers.grades, answers.best_grades, k))


def low_auc(answers: Answers) -> F64:
    """AUC low: how often the clicked item scores above one labelled low, of the same category; ties half."""
    result = np.full(len(answers.top), np.nan)
    if answers.scores is None:
        return result
    for place in range(len(result)):
        low = answers.held_out.low_labels(place)
        if len(low):
            own, *others = answers.scores(place, np.append(answers.held_out.wanted[place], low))
            gaps = own - np.array(others)
            result[place] = np.mean((gaps > 0) + 0.5 * (gaps == 0))
    return result


def taste(answers: Answers, k: int) -> F64:
    """Taste@K, ours: mean grade of the top K by a judge that knows the user's taste."""
    result = np.full(len(answers.top), np.nan)
    grades = answers.held_out.grades
    if isinstance(grades, JudgeGrades):
        for place, request in enumerate(answers.held_out.requests):
            event = request.event
            if event.user is not None and request.kind != "browse":
                rows = answers.top[place, :k]
                result[place] = grades.suits(event.user, event.query, event.picture, rows)
    return result


#: All measures by name, in the order of the report.
MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("Recall@1", "request", partial(recall, k=1)),
        Measure("Hit@1", "query", hit),
        Measure("Recall@10", "request", partial(recall, k=10), shown=True),
        Measure("Recall@50", "request", partial(recall, k=50)),
        Measure("Recall@100", "request", partial(recall, k=100), shown=True),
        Measure("Recall@500", "request", partial(recall, k=500)),
        Measure("Rele@10_p", "query", partial(relevant, k=10), shown=True),
        Measure("Rele@100_p", "query", partial(relevant, k=100)),
        Measure("R-prec@10", "query", partial(r_precision, k=10), shown=True),
        Measure("Rele@10_p_w", "query by traffic", partial(relevant, k=10)),
        Measure("Rele@100_p_w", "query by traffic", partial(relevant, k=100)),
        Measure("nDCG@10", "query", partial(ndcg, k=10), shown=True),
        Measure("MRR", "request", reciprocal_rank, shown=True),
        Measure("AUC low", "query", low_auc, shown=True),
        Measure("Taste@10", "request", partial(taste, k=10), shown=True),
    )
}
#: Measures that pages draw.
DRAWN: tuple[str, ...] = ("Recall@100", "Rele@100_p")


def register(measure: Measure) -> None:
    """Add a measure, as an extension does.

    Raises:
        MeasureError: the name is taken.
    """
    if measure.name in MEASURES:
        raise MeasureError(f"measure {measure.name!r} is registered already")
    MEASURES[measure.name] = measure


def shown() -> list[str]:
    """Names of the measures that terminal and ablation have a column of."""
    return [measure.name for measure in MEASURES.values() if measure.shown]


@dataclass(frozen=True)
class Scores:
    """A system's answers, and ``values`` float64 ``[n]`` of each request by measure, NaN where the system was
    not asked or nothing is known."""

    answers: Answers
    values: dict[str, F64]

    def sums(self, measure: str, mask: Bool) -> Sums:
        """A measure's sums by query over the requests of a mask."""
        values = np.where(mask, self.values[measure], np.nan)
        held_out, unit = self.answers.held_out, MEASURES[measure].unit
        if unit == "query by traffic":
            return by_traffic(values, held_out.query, held_out.queries, held_out.traffic)
        return (by_request if unit == "request" else by_query)(values, held_out.query, held_out.queries)


def score(answers: Answers) -> Scores:
    """The value of every request by every measure."""
    values = {name: measure.values(answers) for name, measure in MEASURES.items()}
    return Scores(answers, {name: np.where(answers.answered, v, np.nan) for name, v in values.items()})


def ndcg_at(gains: Floats, ideal: Floats, k: int) -> F64:
    """nDCG@K of each query ``[q]``, gains as they are (linear), discounted by log2(rank + 1); 0 without any.

    ``gains`` ``[q, at least K]`` are by rank; ``ideal`` ``[q, m]`` are those of all items, in any order.
    """
    best = -np.sort(-ideal, axis=1)[:, :k]
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    got: F64 = (gains[:, :k] * discount[: gains[:, :k].shape[1]]).sum(axis=1)
    most: F64 = (best * discount[: best.shape[1]]).sum(axis=1)
    return np.where(most > 0, got / np.where(most > 0, most, 1.0), 0.0)
