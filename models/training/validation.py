"""A sample of val searches, answered by the towers as they are during training, for early stop."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from common.arrays import I64
from models.dataset.histories import SECONDS_PER_DAY, Histories, same_search
from models.dataset.training_data import TrainingData

#: Queries at once, and cosines: 256 MB, however many items there are.
_CHUNK, _COSINES = 1024, 1 << 26


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
        item = data.column("val_item")
        sample = np.argsort(data.column("val_key"), kind="stable")[: config.validation.requests]
        sample = sample[item[sample] >= 0]
        queries, query = data.strings("val_queries"), data.column("val_query")
        self.texts = [queries[query[row]] for row in sample.tolist()]
        self.wanted: I64 = item[sample].astype(np.int64)
        self.histories = Histories.empty(len(sample), config.dimensions.history)
        _fill_histories(data, sample, self.histories)

    def recall(self, queries: Tensor, items: Tensor, at: int) -> float:
        """Recall@K: share of the searches ``[n, e]`` whose item is among the K nearest of ``[N, e]``."""
        hits = 0
        chunk = max(1, min(_CHUNK, _COSINES // max(1, len(items))))
        for start in range(0, len(queries), chunk):
            part = queries[start : start + chunk]
            top = (part @ items.T).topk(min(at, len(items)), dim=1).indices.cpu().numpy()
            hits += int((top == self.wanted[start : start + len(part), None]).any(axis=1).sum())
        return hits / max(1, len(self.wanted))


def _fill_histories(data: TrainingData, sample: I64, histories: Histories) -> None:
    """Write the last behaviours before each search, of whatever split, as evaluation reads them."""
    same_item = data.config.data.same_item_days * SECONDS_PER_DAY
    window = data.config.data.same_search_minutes * 60.0
    past_user, past_item, past_at = (data.column(f"past_{name}") for name in ("user", "item", "at"))
    behaviour, past_query, past_picture = (
        data.column(f"past_{name}") for name in ("behaviour", "query", "picture")
    )
    asked = np.stack([data.column(f"val_log_{name}")[sample] for name in ("query", "picture")], axis=1)
    users, items, times = (data.column(f"val_{name}")[sample] for name in ("user", "item", "at"))
    for place, (user, item, at) in enumerate(zip(users, items, times, strict=True)):
        low, high = np.searchsorted(past_user, [user, user + 1]) if user >= 0 else (0, 0)
        ago, query = at - past_at[low:high], (int(asked[place, 0]), int(asked[place, 1]))
        own = same_search(query, past_query[low:high], past_picture[low:high], window, ago)
        cut = own | ((past_item[low:high] == item) & (ago <= same_item))
        before = np.flatnonzero((ago > 0) & ~cut)
        newest = low + before[np.argsort(ago[before], kind="stable")]
        if data.config.data.one_slot:
            # Items that the catalogue lacks are not told apart here: each keeps its place.
            one = np.where(past_item[newest] >= 0, past_item[newest], -1 - np.arange(len(newest)))
            newest = newest[np.sort(np.unique(one, return_index=True)[1])]
        newest = newest[: histories.items.shape[1]]
        newest = newest[past_item[newest] >= 0]
        age = (at - past_at[newest]) / SECONDS_PER_DAY
        histories.fill(place, past_item[newest], behaviour[newest], age)
