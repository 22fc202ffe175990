"""Fits the curves of ``merge = "calibrated"`` on requests whose relevant items are known.

One route after the other gets, of some hundred curves, the one with which the mean nDCG@10 is best while the
others keep theirs, until none changes. It is the measure itself that is searched, not a loss that stands for
it: with a handful of numbers to choose that takes seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from common.arrays import F64
from service.recall.calibration import BESIDE_WORDS, BY_PICTURE, Curve
from service.recall.merge import Mix, ranked
from service.recall.routes.outcome import Candidate

#: Routes whose candidates carry their own cosine to the query, or what stands for it, as their value.
ON_COSINES = frozenset(
    {"q2i", "i2i", "u2i", "popular", *BY_PICTURE, *(name + BESIDE_WORDS for name in BY_PICTURE)}
)
DEPTH = 10
#: What a route's best score may add to a cosine.
_WORTHS = (0.02, 0.04, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.5, 2.0)
#: How much of it a score half way is worth.
_HALF_WAY = (0.0, 0.2, 0.5, 0.7)
#: Where the line begins: this quantile of the scores is worth nothing.
_STARTS = (0.0, 0.5)
#: A curve replaces the one before where the mean is better by this: noise moves it by less.
_LEAST_GAIN = 1e-4
_ROUNDS = 4
_FLAT = Curve(points=((0.0, 0.0), (1.0, 0.0)))


@dataclass(frozen=True, slots=True)
class Judged:
    """What the routes found for a request, and how relevant items are for it (left out: not)."""

    routes: Mapping[str, Sequence[Candidate]]
    gains: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Pool:
    """A request as arrays over the items found: float64 ``[n]``; scores NaN where a route did not find it."""

    base: F64
    scores: Mapping[str, F64]
    tops: Mapping[str, float]
    gains: F64
    ideal: float


def fit(judged: Sequence[Judged], bound: float = 2.0, apart: Collection[str] = ()) -> dict[str, Curve]:
    """A curve for each route that is on no common scale and found anything.

    Args:
        judged: held-out requests.
        bound: what a route may add at most.
        apart: routes of `ON_COSINES` that get a curve all the same.
    """
    pools = [_pool(each, ON_COSINES.difference(apart)) for each in judged if each.gains]
    routes = sorted({name for pool in pools for name in pool.scores})
    # A route whose score says nothing has a flat curve: its items stand behind those of others.
    curves = dict.fromkeys(routes, _FLAT)
    candidates = {name: list(_candidates(name, pools, bound)) for name in routes}
    best = mean(pools, curves)
    for _ in range(_ROUNDS):
        before = dict(curves)
        for name in routes:
            others = [_added(pool, {n: c for n, c in curves.items() if n != name}) for pool in pools]
            kept, kept_at = None, _mean(pools, others) + _LEAST_GAIN
            for curve in candidates[name]:
                at = _mean(pools, [s + _worth(p, name, curve) for p, s in zip(pools, others, strict=True)])
                if at > kept_at + _LEAST_GAIN:
                    kept, kept_at = curve, at
            if kept is not None and kept_at > best + _LEAST_GAIN:
                curves[name], best = kept, kept_at
        if curves == before or len(routes) == 1:  # a single route has no others that could change
            break
    return curves


def mean(pools: Sequence[_Pool], curves: Mapping[str, Curve]) -> float:
    """The mean nDCG@10 with some curves."""
    return _mean(pools, [_added(pool, curves) for pool in pools])


def judged_of(routes: Mapping[str, Sequence[Candidate]], gains: Mapping[str, float], words: bool) -> Judged:
    """A request, with or without words; a route that searches by the picture is another beside words."""
    names = {name: name + BESIDE_WORDS if words and name in BY_PICTURE else name for name in routes}
    return Judged({names[name]: found for name, found in routes.items()}, gains)


class Limit(NamedTuple):
    """What of a route's candidates a service takes where no curve judges them: so many, from a score on."""

    floor: float
    most: int


def as_served(judged: Judged, limits: Mapping[str, Limit]) -> Judged:
    """What a service would merge: of some routes no more than their limits let through."""
    routes = {
        name: _within(found, limits[name]) if name in limits else found
        for name, found in judged.routes.items()
    }
    return Judged(routes, judged.gains)


def ranking(judged: Judged, mix: Mix, without: str | None = None) -> list[str]:
    """The items of a request as `merge` puts them, with all routes but one."""
    routes = {name: found for name, found in judged.routes.items() if name != without}
    return [item["item_id"] for item in ranked(routes, mix).items]


def _within(found: Sequence[Candidate], limit: Limit) -> list[Candidate]:
    return [each for each in list(found)[: limit.most] if each.source["score"] >= limit.floor]


def _pool(judged: Judged, on_cosines: Collection[str]) -> _Pool:
    plain = Mix(method="score", shares={})
    cosines = {name: found for name, found in judged.routes.items() if name in on_cosines}
    items = {item["item_id"]: item["score"] for item in ranked(cosines, plain).items}
    first = next((found for found in cosines.values() if found), ())
    floor = first[-1].value if first else 0.0
    others = {name: found for name, found in judged.routes.items() if name not in on_cosines and found}
    for found in others.values():
        for candidate in found:
            items.setdefault(candidate.item_id, floor)
    place = {item_id: at for at, item_id in enumerate(items)}
    scores: dict[str, F64] = {}
    for name, found in others.items():
        scores[name] = np.full(len(items), np.nan)
        for candidate in reversed(found):  # the best one stays
            scores[name][place[candidate.item_id]] = candidate.source["score"]
    gains = np.array([judged.gains.get(item_id, 0.0) for item_id in items])
    best = np.sort(np.array(list(judged.gains.values())))[::-1][:DEPTH]
    tops = {name: float(np.nanmax(found)) for name, found in scores.items()}
    return _Pool(np.array(list(items.values())), scores, tops, gains, float(best @ _discounts(len(best))))


def _candidates(name: str, pools: Sequence[_Pool], bound: float) -> Iterator[Curve]:
    scales: tuple[Literal["own", "top"], ...] = ("own", "top")
    for scale in scales:
        seen = [
            pool.scores[name] / (pool.tops[name] if scale == "top" and pool.tops[name] > 0 else 1.0)
            for pool in pools
            if name in pool.scores
        ]
        values = np.concatenate(seen)
        values = values[~np.isnan(values)]
        high = float(np.quantile(values, 0.999))
        for start in _STARTS:
            low = float(np.quantile(values, start))
            if high - low < 1e-6:
                continue
            middle = (low + high) / 2
            for worth in _WORTHS:
                for share in _HALF_WAY:
                    if worth <= bound:
                        points = ((low, 0.0), (middle, worth * share), (high, worth))
                        yield Curve(scale=scale, points=tuple((round(x, 5), round(y, 5)) for x, y in points))


def _added(pool: _Pool, curves: Mapping[str, Curve]) -> F64:
    """Each item's score with some curves."""
    total = pool.base.copy()
    for name, curve in curves.items():
        total += _worth(pool, name, curve)
    return total


def _worth(pool: _Pool, name: str, curve: Curve) -> F64:
    if name not in pool.scores:
        return np.zeros(len(pool.base))
    scores, top = pool.scores[name], pool.tops[name]
    if curve.scale == "top" and top > 0:
        scores = scores / top
    knots, worths = zip(*curve.points, strict=True)
    return np.where(np.isnan(scores), 0.0, np.interp(scores, knots, worths))


def _mean(pools: Sequence[_Pool], scores: Sequence[F64]) -> float:
    if not pools:
        return 0.0
    return float(np.mean([_ndcg(pool, each) for pool, each in zip(pools, scores, strict=True)]))


def _ndcg(pool: _Pool, scores: F64) -> float:
    if not pool.ideal or not len(scores):
        return 0.0
    top = np.argsort(-scores, kind="stable")[:DEPTH]
    return float(pool.gains[top] @ _discounts(len(top))) / pool.ideal


def _discounts(count: int) -> F64:
    found: F64 = 1 / np.log2(np.arange(2, count + 2))
    return found
