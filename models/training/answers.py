"""What is known to answer the rows of a batch: it is no negative of theirs."""

from __future__ import annotations

import numpy as np

from artifacts.bundle.text import normalise
from common.arrays import I64, Bool
from common.lru import Lru
from models.dataset.intents import intent_words
from models.dataset.training_data import TrainingData
from models.training.batches import Wanted

#: Titles whose words are kept.
_TITLES = 200_000


class KnownAnswers:
    """Finds columns of a batch that answer a row although they are not its positive.

    - An item that was clicked for the same intent (`models.dataset.intents`) or the same picture; also where
      the row's text or picture was left out: then the rest of the row stands for the same want.
    - An item whose title has all the words of a title that stands in the place of a query.
    """

    def __init__(self, data: TrainingData) -> None:
        self._data = data
        self._titles: Lru[int, frozenset[str]] = Lru(_TITLES)
        numbers = enumerate(data.queries)
        self._queries = {intent_words(text): row for row, text in reversed(list(numbers))}

    def among(self, wanted: Wanted, columns: I64) -> Bool:
        """``[B, C]``, True where an item of ``columns`` ``[C]`` answers the row."""
        query = wanted.query.copy()
        spoken = {place: intent_words(normalise(text)) for place, text in wanted.titles.items()}
        for place, words in spoken.items():
            query[place] = self._queries.get(words, 0)
        known = self._data.are_positive(query, columns, wanted.picture)
        distinct, places = np.unique(columns, return_inverse=True)
        titles = [self._title(row) for row in distinct.tolist()] if spoken else []
        for place, words in spoken.items():
            if words:
                fits = np.fromiter((words <= title for title in titles), np.bool_, len(titles))
                known[place] |= fits[places]
        return known

    def _title(self, row: int) -> frozenset[str]:
        found = self._titles.get(row)
        if found is None:
            found = intent_words(normalise(self._data.title(row)))
            self._titles.put(row, found)
        return found
