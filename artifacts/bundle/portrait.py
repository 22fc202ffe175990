"""User portraits: a user's last behaviours as the fusion graph reads them.

From the paper: history embeddings carry the user's taste for each modality. *Inferred*: the last K
behaviours, their type and their age in days.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from artifacts.actions import ACTIONS
from common.arrays import F16, F32, I64

_SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One thing that a user did. ``ts`` is timezone-aware; None counts as now."""

    item_id: str
    action: str
    ts: datetime | None = None


@dataclass(frozen=True, slots=True)
class PortraitBatch:
    """Portraits of a batch, most recent behaviour first.

    ``features`` float32 ``[B, K, E, d]``; ``behaviour`` int64 ``[B, K]``, 0 = empty slot;
    ``age_days`` float32 ``[B, K]``, 0 or more; ``histories``: the behaviours themselves, a row for each.
    """

    features: F32
    behaviour: I64
    age_days: F32
    histories: Sequence[Sequence[Behaviour]] = ()

    def item_hashes(self) -> I64:
        """The hash of each item's id, int64 ``[B, K]``; 0 for an empty slot, and where no ids are known."""
        hashes = np.zeros(self.behaviour.shape, dtype=np.int64)
        for row, history in enumerate(self.histories):
            hashes[row, : len(history)] = [item_hash(behaviour.item_id) for behaviour in history]
        return hashes


def item_hash(item_id: str) -> int:
    """What stands for an item in a graph, 0 to 2^32 - 1: the CRC-32 of its id, the same in every process."""
    return zlib.crc32(item_id.encode("utf-8", "surrogatepass"))


def recent(
    history: Sequence[Behaviour], limit: int, known: Collection[str], *, one_slot: bool = False
) -> list[Behaviour]:
    """The last ``limit`` behaviours, most recent first; without a time counts as newest.

    The history is in any order. Behaviours that are not ``known`` to the bundle are left out. With
    ``one_slot`` (`Preprocessing.one_slot`) an item has one place, that of the last action on it.
    """
    kept = [b for b in history if b.action in known]
    kept.sort(key=lambda b: (b.ts is None, b.ts.timestamp() if b.ts else 0.0), reverse=True)
    if one_slot:
        last: dict[str, Behaviour] = {}
        for behaviour in kept:
            last.setdefault(behaviour.item_id, behaviour)
        kept = list(last.values())
    return kept[:limit]


def build_portraits(
    histories: Sequence[Sequence[Behaviour]],
    features: Sequence[F16 | F32],
    now: Sequence[datetime],
    *,
    experts: int,
    expert_dim: int,
) -> PortraitBatch:
    """Portraits from behaviours (as `recent` gives them) and the features of their items.

    For each row, ``features`` are ``[len(history), E, d]``, aligned with its behaviours, and ``now`` is the
    time of the request: ages are counted from it, and none is below 0.
    """
    ids = ACTIONS.behaviour_ids
    rows = len(histories)
    depth = max((len(history) for history in histories), default=0) or 1
    batch = PortraitBatch(
        np.zeros((rows, depth, experts, expert_dim), dtype=np.float32),
        np.zeros((rows, depth), dtype=np.int64),
        np.zeros((rows, depth), dtype=np.float32),
        histories,
    )
    for row, history in enumerate(histories):
        if not history:
            continue
        batch.features[row, : len(history)] = features[row]
        batch.behaviour[row, : len(history)] = [ids[b.action] for b in history]
        batch.age_days[row, : len(history)] = [
            max(0.0, (now[row] - b.ts).total_seconds() / _SECONDS_PER_DAY) if b.ts else 0.0 for b in history
        ]
    return batch
