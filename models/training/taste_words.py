"""The words that tastes read items by: what queries say, and, as if they were words too, bands of numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from common.arrays import F32, I64
from models.dataset.bands import BANDS
from models.dataset.training_data import TrainingData


@dataclass(frozen=True)
class Words:
    """The words of a shop.

    Attributes:
        names: of queries, those of most clicks first.
        spelt: of each distinct query the places of its words among the names.
        bands: ``[N, bands]``, 1 where an item's number lies in a band (`models.dataset.bands`).
    """

    names: list[str]
    spelt: list[I64]
    bands: F32

    @classmethod
    def read(cls, data: TrainingData, clicks: Mapping[int, int]) -> Words:
        """At most ``taste.words`` of both kinds; ``clicks`` of each distinct query by its row."""
        knobs = data.config.taste
        bands = np.asarray(data.item_bands)[:, : knobs.words // BANDS // 2]
        banded = (bands[:, :, None] == np.arange(BANDS)).reshape(len(bands), -1).astype(np.float32)
        counts: Counter[str] = Counter()
        for row, often in clicks.items():
            counts.update(dict.fromkeys(data.queries[row].split(), often))
        ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[: knobs.words - banded.shape[1]]
        names = [word for word, often in ranked if often >= knobs.word_clicks]
        place = {word: n for n, word in enumerate(names)}
        spelt = [
            np.array(sorted({place[word] for word in text.split() if word in place}), dtype=np.int64)
            for text in data.queries
        ]
        return cls(names, spelt, banded)

    def of_queries(self, queries: I64, width: int) -> F32:
        """``[n, width]``, 1 where a query has a word."""
        result = np.zeros((len(queries), width), dtype=np.float32)
        for place, row in enumerate(queries.tolist()):
            result[place, self.spelt[row]] = 1.0
        return result
