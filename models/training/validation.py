"""A sample of val searches, answered by the towers as they are during training, for early stop."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from common.arrays import F64, I8, I32, I64
from models.dataset.training_data import SECONDS_PER_DAY, Histories, TrainingData

_CHUNK = 1024


class Validation:
    """Val searches with a text, each with the item clicked then and the user's history before.

    Pictures are left out: the training data has no features of val pictures. The sample is of the least
    hashes of user, query and item, so that it stays the same however the log grows.

    Attributes:
        texts: ``[n]`` normalised queries.
        wanted: int64 ``[n]``, row of the clicked item.
        histories: of the n searches.
    """

    def __init__(self, data: TrainingData) -> None:
        config = data.config
        item: I32 = data.column("val_item")
        at: F64 = data.column("val_at")
        sample = np.argsort(data.column("val_key"), kind="stable")[: config.validation.requests]
        sample = sample[item[sample] >= 0]
        queries, query = data.strings("val_queries"), data.column("val_query")
        self.texts = [queries[query[row]] for row in sample.tolist()]
        self.wanted: I64 = item[sample].astype(np.int64)
        self.histories = Histories.empty(len(sample), config.dimensions.history)
        past = _Past(data)
        users = data.column("val_user")
        for place, row in enumerate(sample.tolist()):
            past.fill(self.histories, place, int(users[row]), int(item[row]), float(at[row]))

    def recall(self, queries: Tensor, items: Tensor, at: int) -> float:
        """Recall@K: share of the searches whose item is among the K nearest.

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


class _Past:
    """All behaviours of the users of val searches, whatever their split."""

    def __init__(self, data: TrainingData) -> None:
        self._same_item = data.config.data.same_item_days * SECONDS_PER_DAY
        self._user: I32 = data.column("past_user")
        self._item: I32 = data.column("past_item")
        self._behaviour: I8 = data.column("past_behaviour")
        self._at: F64 = data.column("past_at")

    def fill(self, histories: Histories, place: int, user: int, item: int, at: float) -> None:
        """Write the last behaviours before a moment, as evaluation reads them."""
        low, high = np.searchsorted(self._user, [user, user + 1]) if user >= 0 else (0, 0)
        ago = at - self._at[low:high]
        before = np.flatnonzero((ago > 0) & ((self._item[low:high] != item) | (ago > self._same_item)))
        newest = low + before[np.argsort(ago[before], kind="stable")][: histories.items.shape[1]]
        newest = newest[self._item[newest] >= 0]
        age = (at - self._at[newest]) / SECONDS_PER_DAY
        histories.fill(place, self._item[newest], self._behaviour[newest], age)
