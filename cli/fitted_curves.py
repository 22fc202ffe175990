"""Of ``mrse calibrate``: curves fitted on one half of the requests and judged on the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.arrays import I64
from models.evaluation.statistics import Interval, Sums, bootstrap, by_query, difference
from service.recall.calibration import BUILT_IN, Calibration, Curve
from service.recall.fitting import ON_COSINES, Judged, Limit, as_served, fit, ranking
from service.recall.merge import Mix

MEASURES = ("nDCG@10", "Recall@1", "Recall@10")


def fitted(
    judged: Sequence[Judged], query: Sequence[int], limits: Mapping[str, Limit], version: str, fewest: int
) -> tuple[list[Calibration], dict[str, Curve]]:
    """What each request is merged by, fitted on the other half of the queries, and the curves that all give.

    A route of ``limits`` has a curve where at least ``fewest`` requests have candidates of it, and where that
    is better than its limits, by more than chance, for requests that it was not fitted on. By pictures alone
    and beside words it counts as two.
    """
    numbers, halves = _numbers(query), [number % 2 for number in query]

    def halved(apart: Sequence[str]) -> tuple[list[Calibration], dict[str, Curve], Sums]:
        cut = {name: limit for name, limit in limits.items() if name not in apart}
        served = [as_served(each, cut) for each in judged]
        each_half = [
            fit([each for each, half in zip(served, halves, strict=True) if half != held], apart=apart)
            for held in (0, 1)
        ]
        mixes = [Calibration(bundle=version, curves=each_half[half]) for half in halves]
        found = np.array([_ndcg(each, mix) for each, mix in zip(served, mixes, strict=True)])
        return mixes, fit(served, apart=apart), by_query(found, numbers, int(numbers.max()) + 1)

    apart: list[str] = []
    mixes, curves, best = halved(apart)
    for name in limits:
        if sum(bool(each.routes.get(name)) for each in judged) < fewest:
            continue
        tried = halved([*apart, name])
        if difference(tried[-1], best).low > 0:
            apart.append(name)
            mixes, curves, best = tried
    return mixes, curves


def is_better(figures: Mapping[str, Any], curves: Mapping[str, Any]) -> bool:
    """Whether the fitted curves are better than the built-in ones on requests that they were not fitted on.

    A route without a built-in curve has nothing to stay with, unless it can do without one.
    """
    if curves.keys() - BUILT_IN.curves.keys() - ON_COSINES:
        return True
    return bool((figures["calibrated less built-in"][MEASURES[0]]["value"] or 0.0) >= 0.0)


def figures_of(
    judged: Sequence[Judged], query: Sequence[int], mixes: Sequence[Calibration], limits: Mapping[str, Limit]
) -> dict[str, Any]:
    """Each measure of the mix, of the methods beside it, and of the mix without each route."""
    numbers = _numbers(query)
    count = int(numbers.max()) + 1

    def sums(method: Any, without: str | None = None, by: Any = None) -> dict[str, Any]:
        rows = []
        for each, calibration in zip(judged, mixes, strict=True):
            mix = Mix(method=method, shares={}, calibration=by or calibration)
            curves = mix.calibration.curves if method == "calibrated" else {}
            cut = {name: limit for name, limit in limits.items() if name not in curves}
            rows.append(_measured(ranking(as_served(each, cut), mix, without), each.gains))
        values = np.array(rows)
        return {name: by_query(values[:, place], numbers, count) for place, name in enumerate(MEASURES)}

    def told(interval: Interval) -> dict[str, float | None]:
        return interval.as_dict()

    mix = sums("calibrated")
    figures: dict[str, Any] = {"calibrated": {name: told(bootstrap(each)) for name, each in mix.items()}}
    for method, other in (
        ("built-in", sums("calibrated", by=BUILT_IN)), ("score", sums("score")), ("rrf", sums("rrf")),
    ):  # fmt: skip
        figures[method] = {name: told(bootstrap(other[name])) for name in MEASURES}
        figures[f"calibrated less {method}"] = {
            name: told(difference(mix[name], other[name])) for name in MEASURES
        }
    for route in sorted({name for each in judged for name, found in each.routes.items() if found}):
        rest = sums("calibrated", route)
        figures[f"worth of {route}"] = {name: told(difference(mix[name], rest[name])) for name in MEASURES}
    return figures


def _ndcg(judged: Judged, calibration: Calibration) -> float:
    mix = Mix(method="calibrated", shares={}, calibration=calibration)
    return _measured(ranking(judged, mix), judged.gains)[0]


def _measured(ranking: Sequence[str], gains: Mapping[str, float]) -> tuple[float, float, float]:
    """nDCG@10, Recall@1 and Recall@10."""
    wanted = set(gains)
    discounts = 1 / np.log2(np.arange(2, 12))
    hits = np.array([item in wanted for item in ranking[:10]], dtype=np.float64)
    ideal = float(discounts[: min(10, len(wanted))].sum())
    found = float((hits * discounts[: len(hits)]).sum())
    return found / ideal, float(hits[:1].sum()) / len(wanted), float(hits.sum()) / len(wanted)


def _numbers(query: Sequence[int]) -> I64:
    """The queries' numbers without gaps."""
    numbers: I64 = np.unique(np.array(query), return_inverse=True)[1]
    return numbers
