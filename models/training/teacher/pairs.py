"""What the teacher learns from: pairs of query and item with a grade, by clicks, labels and chance."""

from __future__ import annotations

import zlib
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from common.arrays import F32, I64, Bool
from models.dataset.intents import intent_words
from models.dataset.training_data import TrainingData

#: Share of the queries that measure it, and pairs at most.
_MEASURED, _PAIRS = 0.1, 4000


@dataclass(frozen=True)
class Pairs:
    """Rows of the distinct queries and of items, int64 ``[n]``, and grades float32 ``[n]``, 0 to 1."""

    query: I64
    item: I64
    grade: F32


class PairSampler:
    """Draws pairs of queries of words alone.

    A step takes queries as often as they are clicked for. Each comes with an item that was clicked (grade 1),
    one that is labelled as an answer, one labelled as of low relevance, each with its label, and one of the
    catalogue (0). A query without low labels takes what was clicked for another one instead that shares a
    word with it, where neither says all that the other says: "red mug" and "blue mug".
    """

    def __init__(self, data: TrainingData) -> None:
        self._data = data
        asked = np.asarray(data.query).astype(np.int64)
        words = (asked > 0) & (np.asarray(data.picture) < 0) & (data.intent[asked] > 0)
        held = held_out(data)
        #: Events to draw, and those of the queries that measure.
        self._events: I64 = np.flatnonzero(words & ~held[asked])
        self._measured: I64 = np.flatnonzero(words & held[asked])
        self._words = [intent_words(text) for text in data.queries]
        self._events_of: dict[str, list[int]] = defaultdict(list)
        for event in self._events.tolist():
            for word in self._words[asked[event]]:
                self._events_of[word].append(event)
        self._answers = _labelled_answers(data)

    def __len__(self) -> int:
        return len(self._events)

    def draw(self, count: int, rng: np.random.Generator) -> Pairs:
        """Pairs of so many queries."""
        events = self._events[rng.integers(len(self._events), size=count)]
        query = np.asarray(self._data.query)[events].astype(np.int64)
        clicked = np.asarray(self._data.item)[events].astype(np.int64)
        anything = rng.integers(self._data.items, size=count)
        found = [(row, item, 1.0) for row, item in zip(query.tolist(), clicked.tolist(), strict=True)]
        right = self._data.answer(query, anything)
        found += [(int(query[place]), int(anything[place]), 0.0) for place in np.flatnonzero(~right).tolist()]
        for row in query.tolist():
            if row in self._answers:
                found.append((row, *_one(*self._answers[row], rng)))
            low = self._data.low_relevance(row)
            if len(low[0]):
                found.append((row, *_one(*low, rng)))
            elif (other := self._kin(row, rng)) is not None:
                found.append((row, other, 0.0))
        return _pairs(found)

    def measured(self) -> tuple[Pairs, Pairs]:
        """Of queries that are never drawn: what was clicked, and what is labelled low (or is of kin)."""
        rng = np.random.default_rng(0)
        events = self._measured[rng.permutation(len(self._measured))[:_PAIRS]]
        good, bad = [], []
        for event in events.tolist():
            row, item = int(self._data.query[event]), int(self._data.item[event])
            low = self._data.low_relevance(row)
            other = _one(*low, rng)[0] if len(low[0]) else self._kin(row, rng)
            if other is not None:
                good.append((row, item, 1.0))
                bad.append((row, other, 0.0))
        return _pairs(good), _pairs(bad)

    def _kin(self, row: int, rng: np.random.Generator) -> int | None:
        """An item clicked for a query of kin, or None after some tries."""
        words = sorted(self._words[row])
        for _ in range(4):
            events = self._events_of.get(words[rng.integers(len(words))]) if words else None
            if not events:
                continue
            event = events[rng.integers(len(events))]
            item, others = int(self._data.item[event]), self._words[int(self._data.query[event])]
            apart = not (others <= self._words[row] or self._words[row] <= others)
            if apart and not self._data.answer(np.array([row]), np.array([item]))[0]:
                return item
        return None


def held_out(data: TrainingData) -> Bool:
    """``[Q]``, the queries that measure a teacher: whole intents, by a hash of their words."""
    keys = (" ".join(sorted(intent_words(text))) for text in data.queries)
    return np.array([zlib.crc32(key.encode()) % 1000 < 1000 * _MEASURED for key in keys], dtype=np.bool_)


def _labelled_answers(data: TrainingData) -> dict[int, tuple[I64, F32]]:
    """Items labelled as answers, and their labels, by row of the query (of words alone)."""
    if not (data.folder / "answering_asked.npy").is_file():
        return {}
    asked, grade = data.column("answering_asked"), data.column("answering_grade")
    found: dict[int, tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
    for (row, picture, item), label in zip(asked.tolist(), grade.tolist(), strict=True):
        if row > 0 and picture < 0:
            found[row][0].append(item)
            found[row][1].append(label)
    return {row: (np.array(i, np.int64), np.array(g, np.float32)) for row, (i, g) in found.items()}


def _one(items: I64, grades: F32, rng: np.random.Generator) -> tuple[int, float]:
    place = int(rng.integers(len(items)))
    return int(items[place]), float(grades[place])


def _pairs(found: list[tuple[int, int, float]]) -> Pairs:
    query, item, grade = zip(*found, strict=True) if found else ((), (), ())
    return Pairs(np.array(query, np.int64), np.array(item, np.int64), np.array(grade, np.float32))
