"""Co-click features of items: as their fusion reads them, and without what an example's own visit adds."""

from __future__ import annotations

import numpy as np

from common.arrays import F16, F32, I64
from models.dataset.coclick import WINDOW_SECONDS, CoClicks
from models.dataset.training_data import TrainingData
from models.training.batches import Batch
from models.training.run import Run
from models.training.stored import stored_array

_CHUNK = 4096


def coclick_features(run: Run, coclicks: CoClicks, features: F16, suffix: str = "") -> F16:
    """Mean features of co-clicked items, float16 ``[N, M, d]``, memory-mapped."""

    def fill(target: F16, rows: slice) -> None:
        target[rows] = coclicks.mean_features(features, rows.start, rows.stop)

    return stored_array(
        run.folder / f"coclick_features{suffix}.npy", np.float16, features.shape, fill, _CHUNK
    )


def without_own_visits(
    data: TrainingData, coclicks: CoClicks, features: F16, drawn: Batch, among: set[int]
) -> dict[int, F32]:
    """Co-click features ``[E, d]`` of the positive items ``among`` some, without what their visits add.

    Otherwise an item's vector would hold what its user clicked beside it, which the history tells too:
    training would learn to compare the two, and a held-out visit is in no item's vector.
    """
    spec = data.config.data.preprocessing.coclicks
    added: dict[int, list[tuple[I64, I64]]] = {}
    for item, event in zip(drawn.items.tolist(), drawn.wanted.events.tolist(), strict=True):
        if event >= 0 and item in among:
            added.setdefault(item, []).append(data.beside(event, WINDOW_SECONDS, spec.following))
    result: dict[int, F32] = {}
    for item, visits in added.items():
        items, places = np.unique(np.concatenate([i for i, _ in visits]), return_inverse=True)
        if not len(items):
            continue
        times = np.bincount(places, np.concatenate([n for _, n in visits])).astype(np.int64)
        near, weights = coclicks.without(item, items, times, cosine=spec.cosine)
        total = max(float(weights.sum()), 1e-9)
        near_features = features[near].astype(np.float32)
        result[item] = np.einsum("n,nmd->md", weights / total, near_features)
    return result
