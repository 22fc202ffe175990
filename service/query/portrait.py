"""The user's history as the fusion reads it: from the request, or stored ahead of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import numpy as np

from artifacts.bundle import Behaviour, PortraitBatch, build_portraits
from artifacts.cache.codec import StoredPortrait
from common.arrays import F16
from common.deadline import Deadline
from common.seldom import Seldom
from index.port import IndexUnavailable, ItemFeatures

log = logging.getLogger("mrse.cache")
_told = Seldom()


@dataclass(frozen=True, slots=True)
class RequestPortrait:
    """One row for the fusion, the behaviours it came from, and which of their items were known or not."""

    batch: PortraitBatch
    history: Sequence[Behaviour] = ()
    used: Sequence[str] = ()
    unknown: Sequence[str] = ()
    degraded: str | None = None
    stored: bool = False


async def make_portrait(
    history: Sequence[Behaviour],
    source: ItemFeatures,
    now: datetime,
    deadline: Deadline,
    shape: tuple[int, int],
) -> RequestPortrait:
    """The portrait of a history, most recent first, as `recent` gives it; ages are counted from ``now``.

    ``source`` has the features of its items, each of the ``shape`` ``(E, d)``.
    """
    if not history:
        return _nothing(shape)
    ids = list(dict.fromkeys(behaviour.item_id for behaviour in history))
    try:
        known, features = await source.features(ids, deadline)
    except IndexUnavailable:
        return _assemble(history, (), np.zeros((0, *shape), np.float16), now, shape, "history_unavailable")
    except Exception:
        if (left_out := _told.now()) is not None:
            log.exception("the features of a history failed", extra={"left_out": left_out})
        return _assemble(history, (), np.zeros((0, *shape), np.float16), now, shape, "history_unavailable")
    if not np.isfinite(features).all():  # one would spoil the whole embedding
        finite = np.flatnonzero(np.isfinite(features).all(axis=(1, 2)))
        known, features = [known[row] for row in finite], features[finite]
    return _assemble(history, known, features, now, shape)


@cache
def _nothing(shape: tuple[int, int], degraded: str | None = None) -> RequestPortrait:
    """The portrait of no history."""
    return _assemble((), (), np.zeros((0, *shape), np.float16), datetime.now(UTC), shape, degraded)


def no_portrait(shape: tuple[int, int], *, unavailable: bool) -> RequestPortrait:
    """The portrait of a user who has none stored, or whose portrait could not be read."""
    return _nothing(shape, "portrait_unavailable" if unavailable else None)


def restore_portrait(
    stored: StoredPortrait, history: Sequence[Behaviour], now: datetime, shape: tuple[int, int]
) -> RequestPortrait:
    """The portrait that was stored, as if its ``history`` had come with the request."""
    return _assemble(history, stored.known, stored.features, now, shape, stored=True)


def _assemble(
    history: Sequence[Behaviour],
    known: Sequence[str],
    features: F16,
    now: datetime,
    shape: tuple[int, int],
    degraded: str | None = None,
    *,
    stored: bool = False,
) -> RequestPortrait:
    if history and not known:
        degraded = degraded or "history_unknown"
    rows = {item_id: row for row, item_id in enumerate(known)}
    used = [behaviour for behaviour in history if behaviour.item_id in rows]
    aligned = features[[rows[behaviour.item_id] for behaviour in used]]
    batch = build_portraits([used], [aligned], [now], experts=shape[0], expert_dim=shape[1])
    unknown = [i for i in dict.fromkeys(behaviour.item_id for behaviour in history) if i not in rows]
    known_ids = [behaviour.item_id for behaviour in used]
    return RequestPortrait(batch, history, known_ids, unknown, degraded, stored)
