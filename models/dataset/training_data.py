"""Reads what `prepare` wrote: examples, histories cut off before a moment, known positives."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from artifacts.bundle import TextFeatures
from artifacts.bundle.manifest import TOKENIZER_NAME
from common.arrays import F32, F64, I8, I32, I64, Bool
from models.dataset.text_store import TextStore
from models.towers.config import Config

SECONDS_PER_DAY = 86_400.0
#: Rows of a batch: all of them, or the numbers of some.
Rows = slice | I64


@dataclass(frozen=True)
class Histories:
    """Histories of a batch as the fusion reads them, most recent first.

    ``items`` int64 ``[B, K]``, -1 = empty slot; ``behaviour`` int64 ``[B, K]``; ``age_days`` float32.
    """

    items: I64
    behaviour: I64
    age_days: F32

    @classmethod
    def empty(cls, rows: int, depth: int) -> Histories:
        """Histories ``[rows, depth]`` whose slots are all empty."""
        none = np.zeros((rows, depth), dtype=np.int64)
        return cls(none - 1, none, none.astype(np.float32))

    def fill(self, place: int, items: I32, behaviour: I8, age_days: F64) -> None:
        """Write the history of one row, most recent first."""
        count = len(items)
        self.items[place, :count] = items
        self.behaviour[place, :count] = behaviour
        self.age_days[place, :count] = age_days

    def part(self, rows: Rows) -> Histories:
        """Some of the rows."""
        return Histories(self.items[rows], self.behaviour[rows], self.age_days[rows])


class TrainingData:
    """The arrays of a run, memory-mapped.

    Attributes:
        config: the run's.
        query, item, user, picture: int32 columns of the positive events of the train split; -1 = none.
        at: their POSIX seconds.
        queries: distinct normalised queries; row 0 is the empty one.
        item_picture: int32 ``[N]``, picture id of each item or -1.
        picture_files: for each picture id a file that has it.
        low_pairs: int64 ``[n, 2]``, (query, item) labelled as of low relevance, sorted.
        texts: item texts as ids.
        text: turns queries into ids.
    """

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder, self.config = folder, config
        self.query: I32 = self.column("positive_query")
        self.item: I32 = self.column("positive_item")
        self.user: I32 = self.column("positive_user")
        self.picture: I32 = self.column("positive_picture")
        self.at: F64 = self.column("positive_at")
        self.low_pairs: I64 = self.column("low_pairs")
        self.item_picture: I32 = self.column("item_picture")
        self.queries = self.strings("queries")
        self.picture_files = self.strings("pictures")
        self.texts = TextStore(folder / "items")
        self.tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_NAME))
        self.text = TextFeatures(self.tokenizer, config.text)
        self._titles = np.memmap(folder / "titles.bin", dtype=np.uint8, mode="r")
        self._title_ends: I64 = self.column("title_ends")
        self._ends: I64 = self.column("history_ends")
        self._at: F64 = self.column("history_at")
        self._item: I32 = self.column("history_item")
        self._action: I8 = self.column("history_action")
        text = np.asarray(self.query) > 0
        keys = self.query[text].astype(np.int64) * self.items + self.item[text]
        self._positives: I64 = np.unique(keys)
        self._low_ends: I64 = np.searchsorted(self.low_pairs[:, 0], np.arange(len(self.queries) + 1))

    def column(self, name: str) -> Any:
        """An array that `prepare` wrote."""
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")

    def strings(self, name: str) -> list[str]:
        """Strings that `prepare` wrote."""
        content: list[str] = json.loads((self.folder / f"{name}.json").read_text())
        return content

    @property
    def items(self) -> int:
        """Number of items."""
        return len(self.item_picture)

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return int(self.tokenizer.get_vocab_size())

    def title(self, row: int) -> str:
        """The title of an item."""
        return bytes(self._titles[self._title_ends[row] : self._title_ends[row + 1]]).decode()

    def query_pictures(self) -> I64:
        """Ids of the pictures that positive events searched with, sorted."""
        picture = np.asarray(self.picture)
        return np.unique(picture[picture >= 0]).astype(np.int64)

    def behaviours(self) -> tuple[I64, I64, F64]:
        """User, item row and POSIX seconds of every behaviour of the train split."""
        users = np.repeat(np.arange(len(self._ends) - 1), np.diff(self._ends))
        return users, self._item.astype(np.int64), self._at

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
        """The last K behaviours before each positive event.

        Left out are behaviours of the event's own visit (``data.visit_minutes``) where it says what is
        wanted, and those on its own item within ``data.same_item_days``.
        """
        depth = self.config.dimensions.history
        same_visit = self.config.data.same_item_days * SECONDS_PER_DAY
        visit = self.config.data.visit_minutes * 60.0
        result = Histories.empty(len(rows), depth)
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
            age = (at - when[keep]) / SECONDS_PER_DAY
            result.fill(place, items[keep], self._action[start:stop][::-1][keep], age)
        return result
