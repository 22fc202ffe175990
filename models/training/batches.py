"""What a step of stage 1 or 2 trains on: queries, items and histories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from artifacts.bundle import TextBatch
from common.arrays import F32, I32, I64, Bool
from models.dataset.histories import Histories, Rows
from models.dataset.training_data import TrainingData
from models.towers.training_config import StageConfig
from models.training.augment import typo
from models.training.features import PictureFeatures


@dataclass(frozen=True)
class QueryBatch:
    """The queries of a batch, as they are shown. What is costly is there for this rank's rows alone.

    ``query`` int64 ``[B]``: row of the distinct queries, 0 where the text was emptied or is a title;
    ``shown`` int64 ``[B]``: the picture's id, -1 where there is none or it was left out; ``has_text`` bool
    ``[B]``; ``has_picture`` float32 ``[B]``; and of the b rows ``own``: ``text`` as ids, ``picture`` float32
    ``[b, P]``.
    """

    query: I64
    shown: I64
    has_text: Bool
    has_picture: F32
    own: Rows
    text: TextBatch
    picture: F32


@dataclass(frozen=True)
class Wanted:
    """What the rows of a batch stand for, also where it is not shown: what answers it is no negative.

    ``events`` int64 ``[B]``: the positive event, -1 for a title or an item's own picture; ``query`` int64
    ``[B]`` and ``picture`` int64 ``[B]``: what is asked, 0 and -1 = nothing; ``titles``: by row the words of
    a title that stand in the place of a query.
    """

    events: I64
    query: I64
    picture: I64
    titles: Mapping[int, str]


@dataclass(frozen=True)
class Batch:
    """Queries, positive items ``[B]`` and uniform ones ``[M]``.

    ``says`` bool ``[B]``, False for rows that say nothing; ``remembered`` bool ``[B]``, True for those whose
    user has a history that is shown; ``histories`` of this rank's rows (stage 2).
    """

    queries: QueryBatch
    wanted: Wanted
    items: I64
    uniform: I64
    says: Bool
    remembered: Bool
    histories: Histories | None

    @property
    def columns(self) -> I64:
        """The positive items and the uniform ones, ``[B + M]``."""
        return np.concatenate([self.items, self.uniform])


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
        self._pictured: I64 = np.flatnonzero((data.item_picture >= 0) & data.config.switches.picture)

    def draw(self, batch: int, rng: np.random.Generator, own: Rows = slice(None)) -> Batch:
        """A batch of events, with a share of titles and of items' own pictures in the place of queries.

        Every rank draws the same batch from the same numbers; texts, pictures and histories are read for its
        ``own`` rows alone, by default all of them.
        """
        data, config = self._data, self._data.config
        # Items' own pictures come last, behind the titles.
        shown = round(batch * config.data.picture_share) if len(self._pictured) else 0
        titles = round(batch * config.data.title_share) if len(self._rows) else batch - shown
        events = self._rows
        if len(events):
            events = events[rng.integers(len(events), size=batch - titles - shown)]
        rows = np.concatenate([events, np.full(titles + shown, -1, dtype=np.int64)])
        named = rng.integers(data.items, size=titles)
        if shown:
            named = np.concatenate([named, rng.choice(self._pictured, shown)])
        items = np.concatenate([data.item[events].astype(np.int64), named])
        histories = None
        emptied = remembered = np.zeros(batch, dtype=np.bool_)
        if self._browse:
            emptied = self._with_history[rows] & (rng.random(batch) < config.data.query_dropout)
            drops = rng.random(batch) < config.data.history_dropout
            remembered = self._with_history[rows] & ~(self._said[rows] & ~emptied & drops)
            histories = self._histories(rows[own], remembered[own])
        picture = self._picture[rows].astype(np.int64)
        picture[batch - shown :] = data.item_picture[items[batch - shown :]]
        queries, titled = self._queries(rows, picture, items, emptied, rng, own)
        wanted = Wanted(rows, self._query[rows].astype(np.int64), picture, titled)
        share = config.loss.uniform_share * self._knobs.uniform
        uniform = rng.integers(data.items, size=round(batch * share))
        says = queries.has_text | (queries.has_picture > 0) | remembered
        return Batch(queries, wanted, items, uniform, says, remembered, histories)

    def _histories(self, rows: I64, remembered: Bool) -> Histories:
        result = Histories.empty(len(rows), self._data.config.dimensions.history)
        wanted = np.flatnonzero(remembered)
        found = self._data.histories(rows[wanted])
        result.items[wanted], result.behaviour[wanted] = found.items, found.behaviour
        result.age_days[wanted] = found.age_days
        return result

    def _queries(
        self, rows: I64, asked: I64, items: I64, emptied: Bool, rng: np.random.Generator, own: Rows
    ) -> tuple[QueryBatch, dict[int, str]]:
        """The queries of some events with their pictures, and by row the words of those that are titles."""
        data, knobs = self._data, self._data.config.data
        query, picture = self._query[rows].astype(np.int64), asked
        both = (query > 0) & (picture >= 0)
        draws = rng.random((3, len(rows)))
        query = np.where(emptied | (both & (draws[0] < knobs.picture_only)), 0, query)
        lost = emptied | (both & (query > 0) & (draws[1] < knobs.query_picture_dropout))
        picture = np.where(lost, -1, picture)
        texts, titles = [data.queries[row] for row in query], dict[int, str]()
        for place, text in enumerate(texts):
            if rows[place] < 0 and picture[place] < 0:
                texts[place] = titles[place] = _some_words(data.title(int(items[place])), rng)
            elif text and draws[2][place] < knobs.typo_rate:
                texts[place] = typo(text, rng)
        has_text = np.array([bool(text) for text in texts])
        view, has_picture = self._pictures.draw_views(len(rows), rng), (picture >= 0).astype(np.float32)
        feature = self._pictures.for_queries(picture[own], view[own])
        text = data.text.queries([texts[place] for place in np.arange(len(rows))[own].tolist()])
        return QueryBatch(query, picture, has_text, has_picture, own, text, feature), titles


def _some_words(title: str, rng: np.random.Generator) -> str:
    """One to four words of a title, in order."""
    parts = title.split()
    if not parts:
        return ""
    count = min(len(parts), int(rng.integers(1, 5)))
    return " ".join(parts[i] for i in sorted(rng.choice(len(parts), count, replace=False)))
