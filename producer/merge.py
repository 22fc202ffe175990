"""Adds behaviours to a portrait; the result is the same in whatever order, and however often, they come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from artifacts.actions import ACTIONS
from artifacts.bundle.manifest import Manifest
from artifacts.bundle.portrait import Behaviour, recent
from artifacts.cache.codec import StoredPortrait
from common.arrays import F16


def merged(
    stored: StoredPortrait | None,
    behaviours: Iterable[Behaviour],
    features: Mapping[str, F16],
    manifest: Manifest,
) -> StoredPortrait:
    """The portrait of the stored and the new behaviours, each behaviour (item, action, time) once.

    ``features`` ``[E, d]`` replace those of ``stored``. Behaviours that the bundle was not trained with are
    left out.
    """
    every = {*behaviours, *(stored.behaviours if stored else ())}
    # By name first, so that behaviours of the same time have one order, wherever they came from.
    by_name = sorted((b for b in every if b.action in manifest.behaviours), key=_name)
    one_slot = manifest.preprocessing.one_slot
    kept = recent(by_name, manifest.dimensions.history, manifest.behaviours, one_slot=one_slot)
    before = zip(stored.known, stored.features, strict=True) if stored else ()
    have: Mapping[str, F16] = {**dict(before), **features}
    featured = [item_id for item_id in dict.fromkeys(b.item_id for b in kept) if item_id in have]
    rows = [have[item_id] for item_id in featured]
    return StoredPortrait(kept, featured, np.array(rows, np.float16).reshape(-1, *manifest.dimensions.shape))


def _name(behaviour: Behaviour) -> tuple[str, int]:
    return behaviour.item_id, ACTIONS.behaviour_ids[behaviour.action]
