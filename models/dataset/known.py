"""Which items are known to answer what was asked: those clicked for it, and those labelled so."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.arrays import I32, I64, Bool


class Known:
    """Which items answer an intent or a picture; pictures are numbered after the intents."""

    def __init__(self, keys: I64, items: int, pictures: int) -> None:
        self._keys, self._items, self.pictures = keys, items, pictures

    @classmethod
    def read(cls, folder: Path, items: int, intents: I64, query: I32, picture: I32, item: I32) -> Known:
        """Of the positive events, whose columns are given, and of the labels below a data folder.

        ``intents`` ``[Q]`` are by row of the distinct queries; ``items`` is how many there are.
        """
        asked, shown, answer = (np.asarray(column).astype(np.int64) for column in (query, picture, item))
        labels = folder / "answering_asked.npy"
        if labels.is_file():  # data of earlier versions have none
            more = np.load(labels)
            asked, shown, answer = (
                np.concatenate([column, more[:, place]])
                for place, column in enumerate((asked, shown, answer))
            )
        intent, pictures = intents[asked], int(intents.max(initial=0)) + 1
        text, photo = intent > 0, shown >= 0
        keys = [intent[text] * items + answer[text], (pictures + shown[photo]) * items + answer[photo]]
        return cls(np.unique(np.concatenate(keys)), items, pictures)

    def of(self, asked: int) -> I64:
        """The items that answer a number, sorted."""
        low, high = np.searchsorted(self._keys, [asked * self._items, (asked + 1) * self._items])
        return self._keys[low:high] - asked * self._items

    def answers(self, asked: I64, items: I64) -> Bool:
        """Numbers, -1 = none, and items, both ``[n]`` -> ``[n]``."""
        wanted = asked * self._items + items
        if not len(self._keys):
            return np.zeros(wanted.shape, dtype=np.bool_)
        places = np.searchsorted(self._keys, wanted).clip(max=len(self._keys) - 1)
        result: Bool = (self._keys[places] == wanted) & (asked >= 0)
        return result

    def among(self, asked: I64, items: I64) -> tuple[I64, I64]:
        """Numbers ``[B]``, -1 = none, and sorted items ``[D]`` -> rows and places of the pairs that answer.

        What answers is looked up among the items, not the items among what answers: a row has few answers,
        and a step of 4,096 rows has 12,288 columns.
        """
        first = np.searchsorted(self._keys, asked * self._items)
        counts = np.searchsorted(self._keys, (asked + 1) * self._items) - first
        counts[asked < 0] = 0
        rows = np.repeat(np.arange(len(asked)), counts)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        answers = self._keys[first[rows] + within] - asked[rows] * self._items
        places = np.searchsorted(items, answers).clip(max=max(len(items) - 1, 0))
        found = items[places] == answers if len(items) else np.zeros(len(rows), np.bool_)
        return rows[found], places[found]
