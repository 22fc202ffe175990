"""A sample of val requests, answered by the towers as they are during training, for early stop."""

from __future__ import annotations

import heapq
import zlib

import numpy as np
from torch import Tensor

from artifacts.actions import ACTIONS
from artifacts.bundle.text import normalise
from artifacts.shop.holdout import Holdout
from artifacts.shop.schema import Event
from artifacts.shop.shop import Shop
from models.dataset.training_data import Histories, TrainingData
from models.evaluation.heldout import with_histories

_SECONDS_PER_DAY = 86_400.0
_CHUNK = 1024


class Validation:
    """Val searches with a text, each with the item clicked then and the user's history before.

    Pictures are left out, for their features are no part of the prepared data. Memory is bounded by the
    sample and its users' behaviours.

    Attributes:
        texts: ``[n]`` normalised queries.
        wanted: int64 ``[n]``, row of the clicked item.
        histories: of the n requests.
    """

    def __init__(self, shop: Shop, data: TrainingData) -> None:
        config = data.config
        events = _sample(shop, config.data.held_out, config.validation.requests)
        depth = config.dimensions.history
        requests = with_histories(shop, events, depth=depth, same_item_days=config.data.same_item_days)
        needed = {r.event.item for r in requests} | {b.item_id for r in requests for b in r.history}
        rows = {item.id: row for row, item in enumerate(shop.items()) if item.id in needed}
        requests = [r for r in requests if r.event.item in rows]
        self.texts = [normalise(r.event.query) for r in requests]
        self.wanted = np.array([rows[r.event.item] for r in requests], dtype=np.int64)
        shape = (len(requests), depth)
        self.histories = Histories(
            np.full(shape, -1, dtype=np.int64), np.zeros(shape, dtype=np.int64), np.zeros(shape, np.float32)
        )
        for place, request in enumerate(requests):
            for slot, done in enumerate(b for b in request.history if b.item_id in rows):
                assert done.ts is not None
                self.histories.items[place, slot] = rows[done.item_id]
                self.histories.behaviour[place, slot] = ACTIONS.behaviour_ids[done.action]
                age = (request.event.ts - done.ts).total_seconds() / _SECONDS_PER_DAY
                self.histories.age_days[place, slot] = age

    def recall(self, queries: Tensor, items: Tensor, at: int) -> float:
        """Recall@K: share of the requests whose item is among the K nearest.

        Args:
            queries: float32 ``[n, e]``.
            items: float32 ``[N, e]``.
            at: K.
        """
        if not len(self.wanted):
            return 0.0
        hits = 0
        for start in range(0, len(queries), _CHUNK):
            part = queries[start : start + _CHUNK]
            top = (part @ items.T).topk(min(at, len(items)), dim=1).indices.cpu().numpy()
            hits += int((top == self.wanted[start : start + len(part), None]).any(axis=1).sum())
        return hits / len(self.wanted)


def _sample(shop: Shop, held_out: float, count: int) -> list[Event]:
    """Val searches with a text, each (user, query, item) once: those of the least hashes, in time's order."""
    holdout = Holdout.of(shop.events(), held_out)
    kept: list[tuple[int, str]] = []
    chosen: dict[str, Event] = {}
    for event in shop.events():
        if event.action not in ACTIONS.behaviours or not event.query or holdout.split(event) != "val":
            continue
        key = "\t".join((event.user or "", normalise(event.query), event.item))
        if key in chosen:
            continue
        entry = (-zlib.crc32(key.encode()), key)
        if len(kept) < count:
            heapq.heappush(kept, entry)
        elif entry > kept[0]:
            del chosen[heapq.heappushpop(kept, entry)[1]]
        else:
            continue
        chosen[key] = event
    return sorted(chosen.values(), key=lambda event: event.ts)
