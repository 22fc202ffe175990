"""Adds behaviours to a portrait; the result is the same in whatever order, and however often, they come."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np

from artifacts.actions import ACTIONS
from artifacts.bundle.portrait import Behaviour, recent
from artifacts.cache.codec import StoredPortrait
from common.arrays import F16


def merged(
    stored: StoredPortrait | None,
    behaviours: Iterable[Behaviour],
    features: Mapping[str, F16],
    *,
    limit: int,
    known: Collection[str],
    shape: tuple[int, int],
) -> StoredPortrait:
    """The portrait of the stored and the new behaviours, each behaviour (item, action, time) once.

    Args:
        stored: the portrait so far.
        behaviours: the new behaviours.
        features: features ``[3, d]`` of items; they replace those of ``stored``.
        limit: behaviours kept.
        known: the behaviours that the bundle was trained with; others are left out.
        shape: ``(3, d)``.
    """
    every = {*behaviours, *(stored.behaviours if stored else ())}
    # By name first, so that behaviours of the same time have one order, wherever they came from.
    by_name = sorted((b for b in every if b.action in known), key=_name)
    kept = recent(by_name, limit, known)
    have: dict[str, F16] = {}
    if stored is not None:
        have.update(zip(stored.known, stored.features, strict=True))
    have.update(features)
    featured = [item_id for item_id in dict.fromkeys(b.item_id for b in kept) if item_id in have]
    rows = [have[item_id] for item_id in featured]
    return StoredPortrait(kept, featured, np.stack(rows) if rows else np.zeros((0, *shape), np.float16))


def _name(behaviour: Behaviour) -> tuple[str, int]:
    return behaviour.item_id, ACTIONS.behaviour_ids[behaviour.action]
