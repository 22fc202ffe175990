"""Values of every held-out request for every measure, and their figures by slice with intervals.

Definitions, *inferred* where the paper only names a measure:

- Recall@K: share of held-out clicked items in the top K; every request counts once.
- MRR: mean of 1 / rank over requests, 0 beyond the depth that is searched.
- Rele@K_p: share of the top K whose grade is at least p; every distinct query counts once, with the mean
  over its requests, since users get different answers. Rele@K_p_w: the same weighted by the query's traffic
  in the split, which is every request counting once.
- nDCG@10: gains are the judge's or the labels' grades; where a shop has neither, the items clicked for the
  query in the split; every query counts once.
- Taste@10, ours: mean grade of the top 10 by a judge that knows the user's taste; every request counts once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from artifacts.bundle.text import normalise
from models.evaluation.grades import RELEVANT, Grades, JudgeGrades
from models.evaluation.heldout import Request
from models.evaluation.metrics import ndcg_at, ranks_of
from models.evaluation.statistics import Interval, Sums, bootstrap, by_query, by_request

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]

#: Answers that are looked at.
DEPTH = 500
RECALL_AT: tuple[int, ...] = (10, 50, 100, 500)
RELEVANCE_AT: tuple[int, ...] = (10, 100)
_NDCG_AT = 10
#: Measures in the order of the report; which values each reads, and what counts once.
_Unit = Callable[[Float64, Int64, int], Sums]
MEASURES: dict[str, tuple[str, _Unit]] = {
    **{f"Recall@{k}": (f"recall{k}", by_request) for k in RECALL_AT},
    **{f"Rele@{k}_p": (f"relevant{k}", by_query) for k in RELEVANCE_AT},
    **{f"Rele@{k}_p_w": (f"relevant{k}", by_request) for k in RELEVANCE_AT},
    "nDCG@10": ("ndcg", by_query),
    "MRR": ("rr", by_request),
    "Taste@10": ("taste", by_request),
}


@dataclass(frozen=True)
class Asked:
    """The held-out requests that figures are of.

    ``query`` int64 ``[n]`` numbers the distinct (query, picture) pairs, and users of browse requests;
    ``wanted`` int64 ``[n]`` is the row of the clicked item; ``gains`` says where nDCG's gains come from.
    """

    requests: tuple[Request, ...]
    query: Int64
    wanted: Int64
    queries: int
    gains: str

    @classmethod
    def of(cls, requests: Sequence[Request], rows: dict[str, int], grades: Grades | None) -> Asked:
        """Number the queries; requests whose item is not in the catalogue are left out."""
        kept = tuple(r for r in requests if r.event.item in rows)
        numbers: dict[tuple[str, str | None, str | None], int] = {}
        query = [
            numbers.setdefault(
                (normalise(r.event.query), r.event.picture, r.event.user if r.kind == "browse" else None),
                len(numbers),
            )
            for r in kept
        ]
        wanted = np.array([rows[r.event.item] for r in kept], dtype=np.int64)
        gains = "clicks" if grades is None else grades.source
        return cls(kept, np.array(query, dtype=np.int64), wanted, len(numbers), gains)


@dataclass(frozen=True)
class Answers:
    """What one system answered: ``top`` int64 ``[n, K]``, item rows best first, -1 for none; and the values
    ``[n]`` of each request by name, NaN where a system was not asked or nothing is known."""

    system: str
    top: Int64
    values: dict[str, Float64]

    def sums(self, measure: str, asked: Asked, mask: Bool) -> Sums:
        """A measure's sums by query over a slice."""
        name, unit = MEASURES[measure]
        return unit(np.where(mask, self.values[name], np.nan), asked.query, asked.queries)

    def figure(self, measure: str, asked: Asked, mask: Bool, resamples: int) -> Interval:
        """A measure over a slice with its 95% interval."""
        return bootstrap(self.sums(measure, asked, mask), resamples=resamples)


def score(system: str, asked: Asked, top: Int64, grades: Grades | None, *, answered: Bool) -> Answers:
    """Values of every request.

    Args:
        system: name for the report.
        asked: the requests.
        top: int64 ``[n, K]``, K up to `DEPTH`.
        grades: of the catalogue, where there are any.
        answered: bool ``[n]``, False for requests that the system cannot take; their values are NaN.
    """
    ranks = ranks_of(top, asked.wanted)
    values: dict[str, Float64] = {
        f"recall{k}": ((ranks > 0) & (ranks <= k)).astype(np.float64) for k in RECALL_AT
    }
    values["rr"] = np.where(ranks > 0, 1.0 / np.maximum(ranks, 1), 0.0)
    values |= _graded(asked, top, grades) if grades is not None else _clicked(asked, top)
    values["taste"] = _suited(asked, top, grades)
    return Answers(system, top, {n: np.where(answered, v, np.nan) for n, v in values.items()})


def _graded(asked: Asked, top: Int64, grades: Grades) -> dict[str, Float64]:
    names = [f"relevant{k}" for k in RELEVANCE_AT] + ["ndcg"]
    values = {name: np.full(len(top), np.nan) for name in names}
    for places in _places(asked):
        event = asked.requests[places[0]].event
        if asked.requests[places[0]].kind == "browse":
            continue  # asks for nothing, so everything would be right
        known = grades.of(event.query, event.picture)
        if known is None:
            continue
        got = _gains(known, top[places])
        for k in RELEVANCE_AT:
            values[f"relevant{k}"][places] = (got[:, :k] >= RELEVANT).sum(axis=1) / k
        most = np.partition(known, -min(_NDCG_AT, len(known)))[-_NDCG_AT:]
        values["ndcg"][places] = ndcg_at(got, np.tile(most, (len(places), 1)), _NDCG_AT)
    return values


def _suited(asked: Asked, top: Int64, grades: Grades | None) -> Float64:
    result = np.full(len(top), np.nan)
    if isinstance(grades, JudgeGrades):
        for place, request in enumerate(asked.requests):
            event = request.event
            if event.user is not None and request.kind != "browse":
                rows = top[place, :_NDCG_AT]
                result[place] = grades.suits(event.user, event.query, event.picture, rows)
    return result


def _clicked(asked: Asked, top: Int64) -> dict[str, Float64]:
    values = {f"relevant{k}": np.full(len(top), np.nan) for k in RELEVANCE_AT}
    values["ndcg"] = np.zeros(len(top))
    for places in _places(asked):
        clicked = np.unique(asked.wanted[places])
        got = np.isin(top[places], clicked).astype(np.float64)
        values["ndcg"][places] = ndcg_at(got, np.ones((len(places), len(clicked))), _NDCG_AT)
    return values


def _places(asked: Asked) -> list[list[int]]:
    """Places of the requests of each query."""
    found: dict[int, list[int]] = defaultdict(list)
    for place, query in enumerate(asked.query.tolist()):
        found[query].append(place)
    return list(found.values())


def _gains(known: Float32, top: Int64) -> Float64:
    return np.where(top >= 0, known[np.maximum(top, 0)], -1.0).clip(min=0.0).astype(np.float64)
