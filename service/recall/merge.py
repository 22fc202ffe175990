"""Merges the routes' items. Each route is sure of its quota of places, the best items get the rest.

An item that several routes found stands once and keeps all its sources. What its score is, says the method:

- ``score``: the best of its values on the common scale, its cosine to the query or I2I's path score.
- ``rrf``: the sum of weight / (rrf_k + rank) over the routes.
- ``calibrated``: as ``score``, and for routes that are on no common scale (words, pictures) what their score
  is worth on it, by a curve that was fitted on held-out requests (`service.recall.calibration`).
- ``interleave``: teams draft in turns (`service.recall.interleave`), for experiments.

*Inferred*: the paper only says that several routes are merged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import eq, itemgetter
from typing import NamedTuple

from service.recall.calibration import BUILT_IN, Calibration
from service.recall.interleave import team_draft
from service.recall.routes.outcome import Candidate, Item, columns_of
from service.recall.settings import MergeMethod, TeamMethod

_ID = itemgetter("item_id")
_SCORE = itemgetter("score")
Routes = Mapping[str, Sequence[Candidate]]
Rescore = Callable[[Sequence[Item]], None]


class Mix(NamedTuple):
    """How items are merged.

    Attributes:
        method: how an item's sources become its score.
        shares: share of the places that a route is sure of, when it has that many items.
        rrf_k: constant of ``rrf``.
        weights: of the routes; one that is left out has 1.
        calibration: curves of ``calibrated``.
        teams: of ``interleave``: methods, each a team; none: each route is a team.
        seed: of the draws of ``interleave``.
    """

    method: MergeMethod
    shares: Mapping[str, float]
    rrf_k: int = 60
    weights: Mapping[str, float] | None = None
    calibration: Calibration = BUILT_IN
    teams: Sequence[TeamMethod] = ()
    seed: str = ""


@dataclass(frozen=True, slots=True)
class Ranking:
    """All items that the routes found, best first, and each route's own in its order."""

    items: list[Item]
    order: Mapping[str, list[Item]]


def merge(routes: Routes, k: int, mix: Mix) -> list[Item]:
    """At most ``k`` items, best first; equal scores in the order of their ids.

    Args:
        routes: candidates of each route, best first.
        k: places.
        mix: how they are merged.
    """
    return cut(ranked(routes, mix), k, mix)


def ranked(routes: Routes, mix: Mix, rescore: Rescore | None = None) -> Ranking:
    """All items, best first. Of ``interleave`` they stand in the order of the draft.

    ``rescore`` changes the items' scores before they are put in order; of ``interleave`` those of each team.
    """
    if mix.method == "interleave":
        return _interleaved(routes, mix, rescore)
    return _ranked(routes, mix, mix.method, rescore)


def cut(ranking: Ranking, k: int, mix: Mix) -> list[Item]:
    """The ``k`` items that are answered: each route's quota, then the best; in the order of the ranking."""
    items = ranking.items
    if len(items) <= k:
        return items
    if mix.method == "interleave":  # the draft gave each team its places
        return items[:k]
    if _fills_quotas(items[k:], ranking.order, k, mix):  # nearly always
        return items[:k]
    chosen = _quotas(ranking.order, k, mix.shares)
    sure = list(map(chosen.__contains__, map(_ID, items)))
    others = [place for place, there in enumerate(sure) if not there]
    # The best of the others take the places that are left; behind them come those of a quota alone.
    end = others[k - len(chosen)]
    return items[:end] + list(compress(items[end:], sure[end:]))


def best_first(items: Iterable[Item]) -> list[Item]:
    """Sort by score; by id only where scores are equal, which is rare and takes longer than scores alone."""
    ordered = sorted(items, key=_SCORE, reverse=True)
    scores = list(map(_SCORE, ordered))
    if any(map(eq, scores, scores[1:])):
        ordered.sort(key=_ID)
        ordered.sort(key=_SCORE, reverse=True)  # stable: equal scores stay in the order of ids
    return ordered


def _ranked(routes: Routes, mix: Mix, method: TeamMethod, rescore: Rescore | None = None) -> Ranking:
    if mix.weights and method != "rrf":
        routes = {name: _weighted(found, mix.weights.get(name, 1.0)) for name, found in routes.items()}
    curves = mix.calibration.curves if method == "calibrated" else {}
    items: dict[str, Item] = {}
    order = {name: _gather(items, found) for name, found in routes.items() if name not in curves}
    if curves and (judging := [name for name in routes if name in curves and routes[name]]):
        # What the first route did not find is no closer than the last that it did.
        # Its own value: what the item is worth by other routes may be more.
        floor = next((routes[name][-1].value for name, found in order.items() if found), 0.0)
        for name in judging:
            order[name] = _gather(items, [Candidate(c.item_id, floor, c.source) for c in routes[name]])
        for name in judging:
            weight = 1.0 if mix.weights is None else mix.weights.get(name, 1.0)
            curves[name].add(items, routes[name], weight)
    if method == "rrf":
        _reciprocal_ranks(items, order, mix)
    if rescore is not None:
        rescore(list(items.values()))
    return Ranking(best_first(items.values()), order)


def _interleaved(routes: Routes, mix: Mix, rescore: Rescore | None) -> Ranking:
    teams: dict[str, list[Item]]
    if mix.teams:
        teams = {method: _ranked(routes, mix, method, rescore).items for method in mix.teams}
    else:
        teams = {name: _ranked({name: found}, mix, "score", rescore).items for name, found in routes.items()}
    sources = {item["item_id"]: item["sources"] for item in _ranked(routes, mix, "score").items}
    return Ranking(team_draft(teams, sources, mix.seed), {})


def _weighted(candidates: Sequence[Candidate], weight: float) -> Sequence[Candidate]:
    """The candidates at their weighted values. A value below 0 stays: no weight makes it better."""
    if weight == 1.0:
        return candidates
    return [Candidate(i, value * weight if value > 0 else value, source) for i, value, source in candidates]


def _gather(items: dict[str, Item], candidates: Sequence[Candidate]) -> list[Item]:
    """Add a route's candidates to the items, at their best value; the route's own items in its order."""
    if not items and (first := _gather_distinct(candidates)) is not None:
        items |= first
        return list(first.values())
    order: dict[str, Item] = {}
    for item_id, value, source in columns_of(candidates):
        item = items.get(item_id)
        if item is None:
            order[item_id] = items[item_id] = {"item_id": item_id, "score": value, "sources": [source]}
            continue
        item["sources"].append(source)
        if value > item["score"]:
            item["score"] = value
        order.setdefault(item_id, item)
    return list(order.values())


def _gather_distinct(candidates: Sequence[Candidate]) -> dict[str, Item] | None:
    """The first route's items, nearly always each once; None where one stands twice.

    It takes a third less time than the loop for every route, and columns a quarter less than candidates.
    """
    rows = columns_of(candidates)
    items: dict[str, Item] = {i: {"item_id": i, "score": value, "sources": [of]} for i, value, of in rows}
    return items if len(items) == len(candidates) else None


def _reciprocal_ranks(items: Mapping[str, Item], order: Mapping[str, list[Item]], mix: Mix) -> None:
    weights = mix.weights or {}
    for item in items.values():
        item["score"] = 0.0
    for name, found in order.items():
        weight = weights.get(name, 1.0)
        for rank, item in enumerate(found, start=1):
            item["score"] += weight / (mix.rrf_k + rank)
    for item in items.values():
        item["score"] = round(item["score"], 6)


def _fills_quotas(rest: Sequence[Item], order: Mapping[str, list[Item]], k: int, mix: Mix) -> bool:
    """Whether no route's first items, as many as its quota, are in the rest: then the best fill `_quotas`."""
    left_out = set(map(_ID, rest))
    return all(
        left_out.isdisjoint(map(_ID, items[:quota]))
        for route, items in order.items()
        if (quota := _quota(route, k, mix.shares))
    )


def _quota(route: str, k: int, shares: Mapping[str, float]) -> int:
    return int(shares.get(route, 0.0) * k + 1e-9)


def _quotas(order: Mapping[str, list[Item]], k: int, shares: Mapping[str, float]) -> dict[str, Item]:
    """The items that fill every route's quota; an item that several routes found counts for each."""
    chosen: dict[str, Item] = {}
    for route, items in order.items():
        quota = _quota(route, k, shares)
        if not chosen:
            first = items[: min(quota, k)]
            chosen = dict(zip(map(_ID, first), first, strict=True))
            continue
        held = sum(map(chosen.__contains__, map(_ID, items)))
        missing = min(quota - held, k - len(chosen))
        for item in items:
            if missing <= 0:
                break
            if item["item_id"] not in chosen:
                chosen[item["item_id"]] = item
                missing -= 1
    return chosen
