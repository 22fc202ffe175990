"""Intervals and tests of figures that are means over requests, with the query as the unit.

Requests for one query are not independent: the same words are asked again and again. So a figure is kept as
two sums for each query, and the bootstrap and the permutation test draw queries.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from common.arrays import F64, I64

#: Replicates that are held in memory at a time.
_CHUNK = 64
_SEED = 0


@dataclass(frozen=True)
class Interval:
    """A figure with the bounds of its interval; NaN where there is nothing to measure."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float | None]:
        """For JSON: NaN becomes null."""
        return without_nan({"value": self.value, "low": self.low, "high": self.high})


def without_nan(values: dict[str, float]) -> dict[str, float | None]:
    """For JSON: NaN becomes null."""
    return {name: None if value != value else value for name, value in values.items()}


UNKNOWN = Interval(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class Sums:
    """A figure as ``sum(total) / sum(weight)`` over queries: both float64 ``[q]``."""

    total: F64
    weight: F64

    @property
    def value(self) -> float:
        """The figure; NaN where nothing was asked."""
        weight = float(self.weight.sum())
        return float(self.total.sum()) / weight if weight > 0 else float("nan")


def by_request(values: F64, query: I64, queries: int) -> Sums:
    """Every request counts once.

    Args:
        values: ``[n]``, a value for each request; NaN takes no part.
        query: ``[n]``, the query of each, 0 to ``queries`` - 1.
        queries: number of queries.
    """
    known = ~np.isnan(values)
    total = np.bincount(query[known], values[known], minlength=queries)
    return Sums(total.astype(np.float64), np.bincount(query[known], minlength=queries).astype(np.float64))


def by_query(values: F64, query: I64, queries: int) -> Sums:
    """Every query counts once, with the mean over its requests; arguments as for `by_request`."""
    sums = by_request(values, query, queries)
    known = sums.weight > 0
    return Sums(
        np.where(known, sums.total / np.where(known, sums.weight, 1.0), 0.0), known.astype(np.float64)
    )


def by_traffic(values: F64, query: I64, queries: int, traffic: F64) -> Sums:
    """Every query counts as often as it was asked, with the mean over its requests.

    ``traffic`` is ``[queries]``; the others as for `by_request`.
    """
    sums = by_query(values, query, queries)
    return Sums(sums.total * traffic, sums.weight * traffic)


def bootstrap(sums: Sums, *, resamples: int = 1000) -> Interval:
    """A figure with its 95% interval: see `bootstrap_all`."""
    return bootstrap_all([sums], resamples=resamples)[0]


def bootstrap_all(figures: Sequence[Sums], *, resamples: int = 1000) -> list[Interval]:
    """Percentile bootstrap over queries: each figure with its 95% interval, the same in every call."""
    return _intervals([(figure,) for figure in figures], resamples)


def difference(ours: Sums, theirs: Sums, *, resamples: int = 1000) -> Interval:
    """Ours minus theirs with its 95% interval: see `difference_all`."""
    return difference_all([(ours, theirs)], resamples=resamples)[0]


def difference_all(pairs: Sequence[tuple[Sums, Sums]], *, resamples: int = 1000) -> list[Interval]:
    """Of each pair the first minus the second over the same queries, bootstrapped paired by query."""
    return _intervals(pairs, resamples)


def _intervals(figures: Sequence[tuple[Sums, ...]], resamples: int) -> list[Interval]:
    """Of each tuple the first figure less the others, over the queries where no weight is 0.

    Figures over the same queries share the draws, which take most of the time.
    """
    tables = [np.stack([a for s in sums for a in (s.total, s.weight)], axis=1) for sums in figures]
    groups: dict[bytes, list[int]] = defaultdict(list)
    known = [np.all(table[:, 1::2] > 0, axis=1) for table in tables]
    for place, queries in enumerate(known):
        groups[queries.tobytes()].append(place)
    result = [UNKNOWN] * len(tables)
    for places in groups.values():
        if not known[places[0]].any():
            continue
        columns = np.concatenate([tables[p][known[p]] for p in places], axis=1)
        rng = np.random.default_rng(_SEED)
        replicates = [draws(len(columns), count, rng) @ columns for count in _chunks(resamples)]
        drawn = np.concatenate([columns.sum(axis=0, keepdims=True), *replicates])
        ends = np.cumsum([tables[p].shape[1] for p in places])[:-1]
        for place, part in zip(places, np.split(drawn, ends, axis=1), strict=True):
            ratios = part[:, ::2] / part[:, 1::2]
            gaps = ratios[:, 0] - ratios[:, 1:].sum(axis=1)
            result[place] = _percentiles(gaps[0], gaps[1:])
    return result


def _chunks(resamples: int) -> Iterator[int]:
    for start in range(0, resamples, _CHUNK):
        yield min(_CHUNK, resamples - start)


def draws(units: int, count: int, rng: np.random.Generator) -> F64:
    """How often each unit is drawn in each of ``count`` replicates: ``[count, units]``, rows sum to units."""
    return rng.multinomial(units, np.full(units, 1 / units), size=count).astype(np.float64)


def permutation(ours: Sums, theirs: Sums, *, resamples: int = 1000, seed: int = 0) -> float:
    """Two-sided p of a paired permutation test: for each query the two systems may be swapped.

    Both must have answered the same requests, so that ``weight`` is the same. The p counts the observed
    outcome among the permutations, so it is never 0.

    Raises:
        ValueError: the requests differ.
    """
    if not np.array_equal(ours.weight, theirs.weight):
        raise ValueError("a paired test needs both systems to have answered the same requests")
    gaps = ours.total - theirs.total
    gaps = gaps[gaps != 0]
    if not len(gaps):
        return 1.0
    rng = np.random.default_rng(seed)
    seen = abs(float(gaps.sum()))
    # A permutation that gives the same sum in another order of adding is as extreme.
    least = seen - 1e-9 * float(np.abs(gaps).sum())
    extreme = 0
    for count in _chunks(resamples):
        signs = rng.integers(0, 2, (count, len(gaps))) * 2.0 - 1.0
        extreme += int((np.abs(signs @ gaps) >= least).sum())
    return (1 + extreme) / (1 + resamples)


def seeds_difference(
    ours: list[Sums],
    theirs: list[Sums],
    *,
    relative: bool = False,
    paired: bool = False,
    resamples: int = 1000,
) -> Interval:
    """Ours minus theirs, a figure of each training seed over the same queries; draws seeds and queries.

    ``relative`` divides by theirs, so that 0.1 is ten per cent more. ``paired`` draws the same seeds for both
    sides, where those of one place have all but what is compared in common.
    """
    if not ours or not theirs:
        return UNKNOWN
    known = np.all([s.weight > 0 for s in (*ours, *theirs)], axis=0)
    if not known.any():
        return UNKNOWN
    sides = [np.stack([[s.total[known], s.weight[known]] for s in side], axis=1) for side in (ours, theirs)]

    def gap(queries: F64, seeds: Sequence[F64]) -> F64:
        """Of r replicates: ``queries [r, q]`` and each side's ``seeds [r, s]`` say how often each counts."""
        one, other = (
            ((drawn @ total) * queries).sum(axis=1) / ((drawn @ weight) * queries).sum(axis=1)
            for drawn, (total, weight) in zip(seeds, sides, strict=True)
        )
        over = np.where(other > 0, other, np.nan) if relative else np.ones_like(other)
        result: F64 = (one - other) / over
        return result

    rng = np.random.default_rng(_SEED)
    replicates = []
    for count in _chunks(resamples):
        queries = draws(int(known.sum()), count, rng)
        drawn = [draws(len(side), count, rng) for side in (ours, theirs)]
        replicates.append(gap(queries, [drawn[0], drawn[0]] if paired else drawn))
    once = [np.ones((1, len(side))) for side in (ours, theirs)]
    value = gap(np.ones((1, int(known.sum()))), once)[0]
    return _percentiles(value, np.concatenate(replicates))


def _percentiles(value: float, replicates: F64) -> Interval:
    if np.isnan(replicates).all():
        return Interval(float(value), float("nan"), float("nan"))
    low, high = np.nanquantile(replicates, [0.025, 0.975])
    return Interval(float(value), float(low), float(high))
