"""Triggers of I2I: the items whose neighbours are looked up.

The user's recent items that are close enough to the query; where there is none, the head of Q2I.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np

from artifacts.bundle.portrait import Behaviour
from common.arrays import F32
from index.port import StoredVectors
from service.recall.routes.outcome import Candidate


@dataclass(slots=True)  # frozen ones take twice as long to make; nobody changes them
class Trigger:
    """An item whose neighbours are looked up, and its cosine to the query.

    ``vector`` is its own ``[dim]``, of unit length; None where its neighbours are known without it.
    """

    item_id: str
    score: float
    vector: F32 | None
    origin: Literal["history", "head"]


@dataclass(slots=True)  # frozen ones take twice as long to make; nobody changes them
class Considered:
    """A history item and whether it became a trigger, for ``explain``."""

    item_id: str
    used: bool
    reason: str
    score: float | None = None


def recent_items(history: Sequence[Behaviour], now: datetime, *, max_age_days: float) -> list[str]:
    """Ids of the behaviours young enough to trigger, most recent first, each once."""
    oldest = now - timedelta(days=max_age_days)
    return list(dict.fromkeys(b.item_id for b in history if b.ts is None or b.ts >= oldest))


def history_triggers(
    recent: Sequence[str], stored: StoredVectors, query: F32 | None, *, floor: float, most: int
) -> tuple[list[Trigger], list[Considered]]:
    """At most so many triggers among a user's `recent_items`, closest to the query ``[dim]`` first.

    ``stored`` has the vectors of those that are in the index, in that order. ``floor`` is the least cosine to
    the query, which is None when browsing, where every recent item serves.
    """
    missing = set(recent) - set(stored.ids)
    why = "not in the index" if stored.coverage == 1.0 else "not reached"
    considered = [Considered(item_id, False, why) for item_id in recent if item_id in missing]
    if not stored.ids:
        return [], considered
    scores = [1.0] * len(stored.ids) if query is None else (stored.vectors @ query).tolist()
    order = range(len(scores)) if query is None else np.argsort(-np.asarray(scores), kind="stable").tolist()
    triggers: list[Trigger] = []
    for row in order:
        item_id, score = stored.ids[row], scores[row]
        if query is not None and score < floor:
            considered.append(Considered(item_id, False, "too far from the query", score))
        elif len(triggers) >= most:
            considered.append(Considered(item_id, False, "enough others are closer", score))
        else:
            triggers.append(Trigger(item_id, score, stored.vectors[row], "history"))
            considered.append(Considered(item_id, True, "recent and close to the query", score))
    return triggers, considered


def head_items(head: Sequence[Candidate], *, floor: float, most: int) -> dict[str, float]:
    """Items at the head of Q2I that serve as triggers, with their cosine to the query."""
    return {c.item_id: c.value for c in head[:most] if c.value >= floor}
