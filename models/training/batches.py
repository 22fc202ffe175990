"""What a step of stage 1 or 2 trains on: queries, items and histories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from artifacts.bundle import TextBatch
from common.arrays import F32, I32, I64, Bool
from models.dataset.training_data import Histories, Rows, TrainingData
from models.towers.config import StageConfig
from models.training.augment import typo
from models.training.features import PictureFeatures


@dataclass(frozen=True)
class QueryBatch:
    """The queries of a batch, as they are shown.

    ``query`` int64 ``[B]``: row of the distinct queries, 0 where the text was emptied or is a title;
    ``shown`` int64 ``[B]``: the picture's id, -1 where there is none or it was left out;
    ``text`` as ids; ``has_text`` bool ``[B]``; ``picture`` float32 ``[B, P]``; ``has_picture`` float32
    ``[B]``.
    """

    query: I64
    shown: I64
    text: TextBatch
    has_text: Bool
    picture: F32
    has_picture: F32

    def part(self, rows: Rows) -> QueryBatch:
        """Some of the rows."""
        text = TextBatch(self.text.input_ids[rows], self.text.ngram_ids[rows])
        picture, has_picture = self.picture[rows], self.has_picture[rows]
        return QueryBatch(self.query[rows], self.shown[rows], text, self.has_text[rows], picture, has_picture)


@dataclass(frozen=True)
class Wanted:
    """What the rows of a batch stand for, also where it is not shown: what answers it is no negative.

    ``events`` int64 ``[B]``: the positive event, -1 for a title; ``query`` int64 ``[B]`` and ``picture``
    int64 ``[B]``: what the event asked, 0 and -1 = nothing; ``titles``: by row the words of a title that
    stand in the place of a query.
    """

    events: I64
    query: I64
    picture: I64
    titles: Mapping[int, str]


@dataclass(frozen=True)
class Batch:
    """Queries, histories (stage 2), positive items ``[B]`` and uniform ones ``[M]``."""

    queries: QueryBatch
    wanted: Wanted
    items: I64
    uniform: I64
    histories: Histories | None

    @property
    def says(self) -> Bool:
        """``[B]``, False for rows that say nothing: a browse whose whole history is of its own visit."""
        said: Bool = self.queries.has_text | (self.queries.has_picture > 0)
        return said if self.histories is None else said | self.histories.behaviour.any(axis=1)


class Sampler:
    """Draws batches of events and titles; with ``browse`` events with a history alone take part (stage 2)."""

    def __init__(
        self, data: TrainingData, pictures: PictureFeatures, knobs: StageConfig, *, browse: bool
    ) -> None:
        self._data, self._pictures, self._knobs, self._browse = data, pictures, knobs, browse
        # A row -1, for a title in the place of a query, reads the last of each column: it says nothing.
        self._query: I32 = np.append(data.query, np.int32(0))
        self._picture: I32 = np.append(data.picture, np.int32(-1))
        self._said: Bool = (self._query > 0) | (self._picture >= 0)
        self._with_history = np.zeros(len(self._said), dtype=np.bool_)
        if browse:
            self._with_history[:-1] = data.has_history()
        self._rows: I64 = np.flatnonzero(self._said | self._with_history)

    def draw(self, batch: int, rng: np.random.Generator) -> Batch:
        """A batch of events, with a share of titles in the place of queries."""
        data, config = self._data, self._data.config
        titles = round(batch * config.data.title_share) if len(self._rows) else batch
        events = self._rows
        if len(events):
            events = events[rng.integers(len(events), size=batch - titles)]
        rows = np.concatenate([events, np.full(titles, -1, dtype=np.int64)])
        named = rng.integers(data.items, size=titles)
        items = np.concatenate([data.item[events].astype(np.int64), named])
        histories = None
        emptied = np.zeros(batch, dtype=np.bool_)
        if self._browse:
            emptied = self._with_history[rows] & (rng.random(batch) < config.data.query_dropout)
            histories = self._histories(rows, emptied, rng)
            emptied &= histories.behaviour.any(axis=1)
        queries, titled = self._queries(rows, items, emptied, rng)
        asked, shown = self._query[rows].astype(np.int64), self._picture[rows].astype(np.int64)
        wanted = Wanted(rows, asked, shown, titled)
        share = config.loss.uniform_share * self._knobs.uniform
        uniform = rng.integers(data.items, size=round(batch * share))
        return Batch(queries, wanted, items, uniform, histories)

    def _histories(self, rows: I64, emptied: Bool, rng: np.random.Generator) -> Histories:
        data = self._data
        drops = rng.random(len(rows)) < data.config.data.history_dropout
        dropped = self._said[rows] & ~emptied & drops
        result = Histories.empty(len(rows), data.config.dimensions.history)
        wanted = np.flatnonzero((rows >= 0) & ~dropped)
        found = data.histories(rows[wanted])
        result.items[wanted], result.behaviour[wanted] = found.items, found.behaviour
        result.age_days[wanted] = found.age_days
        return result

    def _queries(
        self, rows: I64, items: I64, emptied: Bool, rng: np.random.Generator
    ) -> tuple[QueryBatch, dict[int, str]]:
        """The queries of some events, and by row the words of those that are titles."""
        data, knobs = self._data, self._data.config.data
        query, picture = self._query[rows].astype(np.int64), self._picture[rows]
        both = (query > 0) & (picture >= 0)
        draws = rng.random((3, len(rows)))
        query = np.where(emptied | (both & (draws[0] < knobs.picture_only)), 0, query)
        lost = emptied | (both & (query > 0) & (draws[1] < knobs.query_picture_dropout))
        picture = np.where(lost, -1, picture)
        texts, titles = [data.queries[row] for row in query], dict[int, str]()
        for place, text in enumerate(texts):
            if rows[place] < 0:
                texts[place] = titles[place] = _some_words(data.title(int(items[place])), rng)
            elif text and draws[2][place] < knobs.typo_rate:
                texts[place] = typo(text, rng)
        has_text = np.array([bool(text) for text in texts])
        feature, has_picture = self._pictures.for_queries(picture, rng), picture >= 0
        text, has = data.text.queries(texts), has_picture.astype(np.float32)
        return QueryBatch(query, picture.astype(np.int64), text, has_text, feature, has), titles


def _some_words(title: str, rng: np.random.Generator) -> str:
    """One to four words of a title, in order."""
    parts = title.split()
    if not parts:
        return ""
    count = min(len(parts), int(rng.integers(1, 5)))
    return " ".join(parts[i] for i in sorted(rng.choice(len(parts), count, replace=False)))
