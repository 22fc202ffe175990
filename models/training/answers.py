"""What is known to answer the rows of a batch: it is no negative of theirs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from artifacts.bundle.text import normalise
from common.arrays import I64, Bool
from models.dataset.intents import intent_words
from models.dataset.known import Known
from models.dataset.training_data import TrainingData
from models.training.batches import Wanted

#: Titles whose words are kept.
_TITLES = 200_000


class KnownAnswers:
    """Finds columns of a batch that answer a row although they are not its positive.

    - An item that was clicked or labelled so for the same intent (`models.dataset.intents`) or the same
      picture; also where the row's text or picture was left out: then the rest of the row stands for the
      same want.
    - An item whose title has all the words of a title that stands in the place of a query.

    Threads may share it.
    """

    def __init__(self, data: TrainingData) -> None:
        self._data = data
        #: What a teacher adds, by intent.
        self.taught: Known | None = None
        numbers = enumerate(data.queries)
        self._queries = {intent_words(text): row for row, text in reversed(list(numbers))}
        self._title = lru_cache(_TITLES)(self._words)

    def among(self, wanted: Wanted, columns: I64) -> Bool:
        """``[B, C]``, True where an item of ``columns`` ``[C]`` answers the row."""
        query = wanted.query.copy()
        spoken = {place: intent_words(normalise(text)) for place, text in wanted.titles.items()}
        for place, words in spoken.items():
            query[place] = self._queries.get(words, 0)
        distinct, places = np.unique(columns, return_inverse=True)
        known = self._data.are_positive(query, distinct, wanted.picture)
        # An item answers its own picture, and so do others that share it.
        same = self._data.item_picture[distinct] == wanted.picture[:, None]
        known |= same & (wanted.picture >= 0)[:, None]
        if self.taught is not None:
            intent = self._data.intent[query]
            known[self.taught.among(np.where(intent > 0, intent, -1), distinct)] = True
        if spoken:
            self._by_titles(known, spoken, distinct)
        return known[:, places]

    def _by_titles(self, known: Bool, spoken: dict[int, frozenset[str]], distinct: I64) -> None:
        """Mark the items of ``distinct`` ``[D]`` whose titles have all the words of a row ``[B, D]``."""
        asked = frozenset().union(*spoken.values())
        holding: dict[str, set[int]] = {word: set() for word in asked}
        for place, row in enumerate(distinct.tolist()):
            for word in self._title(row) & asked:
                holding[word].add(place)
        for place, words in spoken.items():
            if words:
                known[place, list(set.intersection(*(holding[word] for word in words)))] = True

    def _words(self, row: int) -> frozenset[str]:
        return intent_words(normalise(self._data.title(row)))
