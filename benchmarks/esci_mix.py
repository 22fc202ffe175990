"""Words beside the towers on ESCI, merged as the service merges them: by the built-in curves, and by curves
that are fitted on the other folds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.esci_data import Esci
from benchmarks.esci_measure import DEPTH, Answers, by_queries
from common.arrays import F32, I64
from models.evaluation.statistics import difference
from service.recall.calibration import BUILT_IN, Calibration, Curve
from service.recall.fitting import Judged, fit
from service.recall.merge import Mix, merge
from service.recall.routes.outcome import Candidate

#: Items that each route is asked for: the default k of a request.
CANDIDATES = 200
BUILT_IN_MIX, FITTED_MIX = "mix, built-in", "mix, fitted on other folds"


class Routes:
    """What Q2I and the lexical route find: ``cosines`` and ``words`` float32 ``[q, N]``, all scores."""

    def __init__(self, cosines: F32, words: F32, data: Esci) -> None:
        self._cosines, self._words, self._data = cosines, words, data

    def candidates(self, query: int) -> dict[str, list[Candidate]]:
        """The candidates of both routes for a query, ids are rows of the products."""
        found: dict[str, list[Candidate]] = {}
        for name, scores, least in (
            ("q2i", self._cosines[query], -2.0), ("lexical", self._words[query], 0.0),
        ):  # fmt: skip
            best = np.argsort(-scores, kind="stable")[:CANDIDATES]
            found[name] = [
                Candidate(
                    str(row), float(scores[row]), {"route": name, "rank": rank, "score": float(scores[row])}
                )
                for rank, row in enumerate(best.tolist(), 1)
                if scores[row] > least
            ]
        return found

    def fitted(self, queries: I64) -> dict[str, Curve]:
        """Curves by some queries."""
        exact = self._data.exact
        return fit(
            [
                Judged(self.candidates(query), {str(row): 1.0 for row in exact[query]})
                for query in queries.tolist()
                if exact[query]
            ]
        )

    def answers(self, mix: Mix, queries: I64) -> Answers:
        """What the merge gives for those of some queries that have an Exact product, and the same sum for all
        judged pairs of these queries.
        """
        data = self._data
        top = np.full((len(data.queries), DEPTH), -1, dtype=np.int64)
        for query in [query for query in queries.tolist() if data.exact[query]]:
            items = merge(self.candidates(query), DEPTH, mix)
            top[query, : len(items)] = [int(item["item_id"]) for item in items]
        asked, products = data.pairs[:, 0], data.pairs[:, 1]
        pairs = self._cosines[asked, products].astype(np.float64)
        if (curve := mix.calibration.curves.get("lexical")) is not None and mix.method == "calibrated":
            words = self._words[asked, products].astype(np.float64)
            if curve.scale == "top":
                words = words / np.maximum(self._words[asked].max(axis=1), 1e-9)
            pairs += [curve.worth(each) if each > 0 else 0.0 for each in words.tolist()]
        pairs[~np.isin(asked, queries)] = np.nan
        return Answers(top, pairs)


def default_mix(routes: Routes, queries: I64) -> Answers:
    """What a service gives that nobody has set up otherwise, but for ``recall.lexical.enabled``."""
    return routes.answers(Mix(method="calibrated", shares={}, calibration=BUILT_IN), queries)


def mixes(routes: Routes, data: Esci) -> dict[str, Answers]:
    """The built-in curves, curves fitted on the other folds, and reciprocal ranks."""
    every = np.arange(len(data.queries))
    return {
        BUILT_IN_MIX: default_mix(routes, every),
        "mix, rrf": routes.answers(Mix(method="rrf", shares={}), every),
        FITTED_MIX: fitted_mix(routes, data),
    }


def fitted_mix(routes: Routes, data: Esci) -> Answers:
    """Each fold's answers by the curve that `mrse calibrate` would fit on the queries of all others."""
    folds, parts = data.folds, []
    for fold in np.unique(folds):
        curves = routes.fitted(np.flatnonzero(folds != fold))
        calibration = Calibration(bundle="esci", curves=curves)
        mix = Mix(method="calibrated", shares={}, calibration=calibration)
        parts.append(routes.answers(mix, np.flatnonzero(folds == fold)))
    fitted = parts[0]
    for part in parts[1:]:
        fitted = fitted.joined(part)
    return fitted


def gains(mixed: Answers, others: Mapping[str, Answers], data: Esci) -> dict[str, dict[str, Any]]:
    """What a mix has over each of its routes alone, with intervals: the worth of the other one."""
    ours = by_queries(mixed, data)
    result: dict[str, dict[str, Any]] = {}
    for name, answers in others.items():
        theirs = by_queries(answers, data)
        result[name] = {measure: difference(ours[measure], theirs[measure]).as_dict() for measure in ours}
    return result
