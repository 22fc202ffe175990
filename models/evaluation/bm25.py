"""BM25 over the same item texts that the towers read: the bar for text queries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import bm25s
import numpy as np
import Stemmer

from artifacts.bundle.text import normalise, words
from artifacts.shop.shop import Shop
from common.arrays import F32, I64

K1, B = 1.2, 0.75


class Bm25:
    """bm25s with method lucene, k1 1.2, b 0.75 and English Snowball stems."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._stemmer = Stemmer.Stemmer("english")
        self._stems: dict[str, int] = {}
        rows = [[self._stems.setdefault(s, len(self._stems)) for s in self._split(t)] for t in texts]
        self.items = len(rows)
        self._index = bm25s.BM25(method="lucene", k1=K1, b=B)
        vocabulary = dict(self._stems) or {"": 0}
        self._index.index(bm25s.tokenization.Tokenized(ids=rows, vocab=vocabulary), show_progress=False)

    @classmethod
    def over(cls, shop: Shop) -> Bm25:
        """Over a shop's catalogue: title, category and description of each item."""
        return cls(f"{item.title} {item.category} {item.description}" for item in shop.items())

    def _split(self, text: str) -> list[str]:
        stems: list[str] = self._stemmer.stemWords(words(normalise(text)))
        return stems

    def scores(self, queries: Sequence[str]) -> F32:
        """Scores of all items for each query, ``[q, N]``; 0 where an item has no word of it."""
        return np.stack([self._scores(query) for query in queries])

    def _scores(self, query: str) -> F32:
        known = [self._stems[s] for s in self._split(query) if s in self._stems]
        if not known:
            return np.zeros(self.items, dtype=np.float32)
        scores: F32 = self._index.get_scores_from_ids(known)
        return scores

    def top(self, queries: Sequence[str], k: int) -> I64:
        """Item rows of the best k for each query, ``[q, k]``; -1 where no item has a word of it."""
        k = min(k, self.items)
        result = np.full((len(queries), k), -1, dtype=np.int64)
        for place, query in enumerate(queries):
            scores = self._scores(query)
            # Stable, so that ties fall in catalogue order on every machine.
            best = np.argsort(-scores, kind="stable")[:k]
            result[place] = np.where(scores[best] > 0, best, -1)
        return result
