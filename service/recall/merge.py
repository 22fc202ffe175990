"""Merges the routes: each is sure of its quota of places, the rest goes to the best, and no source is lost.

``score`` takes the best of an item's values on the common scale: its cosine to the query, or I2I's
calibrated path score. ``rrf`` adds 1 / (rrf_k + rank) over the routes. *Inferred*: the paper only says
that several routes are merged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.recall.outcome import Candidate
from service.settings import MergeMethod


@dataclass(slots=True)
class Merged:
    """An item of the answer; ``sources`` pairs each route with how it found the item."""

    item_id: str
    score: float
    sources: list[tuple[str, Candidate]] = field(default_factory=list)


def merge(
    routes: Mapping[str, Sequence[Candidate]],
    k: int,
    *,
    shares: Mapping[str, float],
    method: MergeMethod,
    rrf_k: int,
) -> list[Merged]:
    """At most ``k`` items, best first; equal scores in the order of their ids.

    Args:
        routes: candidates of each route, best first.
        k: places.
        shares: share of the places that a route is sure of, when it has that many items.
        method: how an item's sources become its score.
        rrf_k: constant of ``rrf``.
    """
    items: dict[str, Merged] = {}
    order: dict[str, list[Merged]] = {}
    for route, candidates in routes.items():
        seen: dict[str, Merged] = {}
        for candidate in candidates:
            item_id = candidate.item_id
            item = items.get(item_id)
            if item is None:
                item = items[item_id] = Merged(item_id, 0.0 if method == "rrf" else candidate.value)
            item.sources.append((route, candidate))
            if item_id not in seen:
                seen[item_id] = item
                if method == "rrf":
                    item.score += 1.0 / (rrf_k + len(seen))
            if method == "score" and candidate.value > item.score:
                item.score = candidate.value
        order[route] = list(seen.values())
    ranked = sorted(items.values(), key=_best_first)
    if len(ranked) <= k:
        return ranked
    chosen = _quotas(order, k, shares)
    for item in ranked:
        if len(chosen) >= k:
            break
        chosen.setdefault(item.item_id, item)
    return sorted(chosen.values(), key=_best_first)


def _quotas(order: Mapping[str, list[Merged]], k: int, shares: Mapping[str, float]) -> dict[str, Merged]:
    """The items that fill every route's quota; an item that several routes found counts for each."""
    chosen: dict[str, Merged] = {}
    for route, ranked in order.items():
        quota = int(shares.get(route, 0.0) * k + 1e-9)
        held = sum(1 for item in ranked if item.item_id in chosen)
        for item in ranked:
            if held >= quota or len(chosen) >= k:
                break
            if item.item_id not in chosen:
                chosen[item.item_id] = item
                held += 1
    return chosen


def _best_first(item: Merged) -> tuple[float, str]:
    return -item.score, item.item_id
