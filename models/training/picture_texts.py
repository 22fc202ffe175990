"""The texts that pictures are trained against: titles, and the queries that led to a click on the item."""

from __future__ import annotations

import numpy as np

from artifacts.bundle.text import special_ids
from common.arrays import F32, I64
from models.dataset.training_data import TrainingData

_CHUNK = 1024


class PictureTexts:
    """Draws texts for items: titles, and queries that led to a click on them."""

    def __init__(self, data: TrainingData, shown: I64) -> None:
        self._data = data
        wanted = np.zeros(data.items, dtype=np.bool_)
        wanted[shown] = True
        asked = (np.asarray(data.query) > 0) & wanted[data.item]
        pairs = np.unique(np.stack([data.item[asked], data.query[asked]]), axis=1)
        self._query: I64 = pairs[1].astype(np.int64)
        self._ends: I64 = np.searchsorted(pairs[0], np.arange(data.items + 1))
        tokens = data.text.queries(data.queries).input_ids
        self._special = list(special_ids(data.tokenizer))
        tokens[np.isin(tokens, self._special)] = 0
        self._tokens = tokens

    def draw(self, items: I64, rng: np.random.Generator) -> tuple[I64, I64]:
        """n-grams int64 ``[B, W, G]`` of an item's title or query; ``[B]``, the same for one query."""
        chosen = self._queries(items, rng)
        as_query = (rng.random(len(items)) < self._data.config.image.query_share) & (chosen > 0)
        titles = self._data.texts.batch(items).ngram_ids
        queries = self._data.text.queries([self._data.queries[q] for q in chosen]).ngram_ids
        result = np.zeros(np.maximum(titles.shape, queries.shape), dtype=np.int64)
        own = ~as_query
        result[own, : titles.shape[1], : titles.shape[2]] = titles[own]
        result[as_query, : queries.shape[1], : queries.shape[2]] = queries[as_query]
        return result, np.where(as_query, chosen, -1 - items)

    def words(self, items: I64) -> F32:
        """float32 ``[B, V]``: 1 for each token of the queries that led to an item, or else of its title."""
        result = np.zeros((len(items), self._data.tokenizer.get_vocab_size()), dtype=np.float32)
        low, high = self._ends[items], self._ends[items + 1]
        for place, (start, stop) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
            result[place, self._tokens[self._query[start:stop]].ravel()] = 1.0
        unasked = np.flatnonzero(low == high)
        titles = self._data.texts.batch(items[unasked]).input_ids
        result[unasked[:, None], titles] = 1.0
        result[:, self._special] = 0.0
        return result

    def weights(self, items: I64, told: float) -> F32:
        """float32 ``[V]``: the weight of each token; the mean over the tokens named is 1.

        A token that the items' titles have too weighs ``told`` times as much as one that no title has: what
        texts say, such as a brand, a picture need not show, and mostly cannot.
        """
        named = np.zeros(self._data.tokenizer.get_vocab_size())
        both = named.copy()
        for start in range(0, len(items), _CHUNK):
            part = items[start : start + _CHUNK]
            words = self.words(part)
            titles = np.zeros_like(words)
            titles[np.arange(len(part))[:, None], self._data.texts.batch(part).input_ids] = 1.0
            named += words.sum(axis=0)
            both += (words * titles).sum(axis=0)
        weights = 1.0 - (1.0 - told) * both / np.maximum(named, 1.0)
        mean = (weights * named).sum() / max(1.0, named.sum())
        return np.asarray(weights / (mean or 1.0), dtype=np.float32)

    def _queries(self, items: I64, rng: np.random.Generator) -> I64:
        """For each item the row of a query that led to it, 0 where none did."""
        low, high = self._ends[items], self._ends[items + 1]
        places = low + (rng.random(len(items)) * (high - low)).astype(np.int64)
        if not len(self._query):
            return np.zeros(len(items), dtype=np.int64)
        chosen = self._query[np.minimum(places, len(self._query) - 1)]
        return np.where(high > low, chosen, 0).astype(np.int64)
