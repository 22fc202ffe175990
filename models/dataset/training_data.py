"""Reads what `prepare` wrote: examples, histories cut off before a moment, known positives."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from artifacts.bundle import TextFeatures
from artifacts.bundle.manifest import TOKENIZER_NAME
from common.arrays import F32, F64, I8, I32, I64, Bool
from models.dataset.text_store import TextStore
from models.towers.config import Config
from models.training.ranks import Rows

_SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True)
class Histories:
    """Histories of a batch as the fusion reads them, most recent first.

    ``items`` int64 ``[B, K]``, -1 = empty slot; ``behaviour`` int64 ``[B, K]``; ``age_days`` float32.
    """

    items: I64
    behaviour: I64
    age_days: F32

    def part(self, rows: Rows) -> Histories:
        """Some of the rows."""
        return Histories(self.items[rows], self.behaviour[rows], self.age_days[rows])


class TrainingData:
    """The prepared arrays of a run, memory-mapped.

    Attributes:
        query, item, user, picture: int32 columns of the positive events of the train split; -1 = none.
        at: their POSIX seconds.
        queries: distinct normalised queries; row 0 is the empty one.
        item_picture: int32 ``[N]``, picture id of each item or -1.
        picture_files: for each picture id a file that has it.
        low_pairs: int64 ``[n, 2]``, (query, item) labelled as of low relevance, sorted.
    """

    def __init__(self, folder: Path, config: Config) -> None:
        def column(name: str) -> npt.NDArray[np.generic]:
            result: npt.NDArray[np.generic] = np.load(folder / f"{name}.npy", mmap_mode="r")
            return result

        self.config = config
        self.query: I32 = column("positive_query")  # type: ignore[assignment]
        self.item: I32 = column("positive_item")  # type: ignore[assignment]
        self.user: I32 = column("positive_user")  # type: ignore[assignment]
        self.picture: I32 = column("positive_picture")  # type: ignore[assignment]
        self.at: F64 = column("positive_at")  # type: ignore[assignment]
        self.low_pairs: I64 = column("low_pairs")  # type: ignore[assignment]
        self.item_picture: I32 = column("item_picture")  # type: ignore[assignment]
        self.queries: list[str] = json.loads((folder / "queries.json").read_text())
        self.picture_files: list[str] = json.loads((folder / "pictures.json").read_text())
        self.texts = TextStore(folder / "items")
        self.tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_NAME))
        self.text = TextFeatures(self.tokenizer, config.text)
        self._titles = np.memmap(folder / "titles.bin", dtype=np.uint8, mode="r")
        self._title_ends: I64 = column("title_ends")  # type: ignore[assignment]
        self._ends: I64 = column("history_ends")  # type: ignore[assignment]
        self._at: F64 = column("history_at")  # type: ignore[assignment]
        self._item: I32 = column("history_item")  # type: ignore[assignment]
        self._action: I8 = column("history_action")  # type: ignore[assignment]
        text = np.asarray(self.query) > 0
        keys = self.query[text].astype(np.int64) * self.items + self.item[text]
        self._positives: I64 = np.unique(keys)
        self._low_ends: I64 = np.searchsorted(self.low_pairs[:, 0], np.arange(len(self.queries) + 1))

    @property
    def items(self) -> int:
        """Number of items."""
        return len(self.item_picture)

    def title(self, row: int) -> str:
        """The title of an item."""
        return bytes(self._titles[self._title_ends[row] : self._title_ends[row + 1]]).decode()

    def are_positive(self, query: I64, items: I64) -> Bool:
        """Whether an item was ever clicked for a query: ``[B]`` and ``[M]`` (or ``[B, M]``) -> ``[B, M]``."""
        wanted = query[:, None] * self.items + items
        if not len(self._positives):
            return np.zeros(wanted.shape, dtype=np.bool_)
        places = np.searchsorted(self._positives, wanted).clip(max=len(self._positives) - 1)
        result: Bool = (self._positives[places] == wanted) & (query > 0)[:, None]
        return result

    def low_relevance(self, query: int) -> I64:
        """Items labelled as of low relevance for a query, less those that were clicked for it."""
        low: I64 = self.low_pairs[self._low_ends[query] : self._low_ends[query + 1], 1]
        return low[~self.are_positive(np.array([query]), low[None])[0]] if len(low) else low

    def has_history(self) -> Bool:
        """For each positive event whether its user did anything before it."""
        user, at = np.asarray(self.user), np.asarray(self.at)
        known = np.maximum(user, 0)
        first = np.full(len(self._ends) - 1 or 1, np.inf)
        filled = np.diff(self._ends) > 0
        first[: len(filled)][filled] = self._at[self._ends[:-1][filled]]
        result: Bool = (user >= 0) & (first[known] < at)
        return result

    def histories(self, rows: I64) -> Histories:
        """The last K behaviours before each event, or before the visit it asked in; none of its own item that
        day."""
        depth = self.config.dimensions.history
        same_visit = self.config.data.same_item_days * _SECONDS_PER_DAY
        visit = self.config.data.visit_minutes * 60.0
        result = Histories(
            np.full((len(rows), depth), -1, dtype=np.int64),
            np.zeros((len(rows), depth), dtype=np.int64),
            np.zeros((len(rows), depth), dtype=np.float32),
        )
        for place, row in enumerate(rows.tolist()):
            user, at, target = int(self.user[row]), float(self.at[row]), int(self.item[row])
            if user < 0:
                continue
            low, high = int(self._ends[user]), int(self._ends[user + 1])
            stop = low + int(np.searchsorted(self._at[low:high], at, side="left"))
            # Twice the depth is read so that what is cut can be made up for.
            start = max(low, stop - 2 * depth)
            when = self._at[start:stop][::-1]
            items = self._item[start:stop][::-1]
            ago = at - when
            asked = self.query[row] > 0 or self.picture[row] >= 0
            before = ago > (visit if asked else 0.0)
            keep = np.flatnonzero(before & ((items != target) | (ago > same_visit)))[:depth]
            count = len(keep)
            result.items[place, :count] = items[keep]
            result.behaviour[place, :count] = self._action[start:stop][::-1][keep]
            result.age_days[place, :count] = (at - when[keep]) / _SECONDS_PER_DAY
        return result
