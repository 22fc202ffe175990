"""Reads what `prepare` wrote: examples, histories cut off before a moment, known positives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from artifacts.bundle import TextFeatures
from artifacts.bundle.manifest import TOKENIZER_NAME
from common.arrays import F32, F64, I8, I32, I64, Bool
from models.dataset.histories import SECONDS_PER_DAY, Histories, same_search
from models.dataset.known import Known
from models.dataset.text_store import TextStore
from models.towers.config import Config

#: Events that are looked at together.
_EVENTS = 1 << 20
#: Behaviours that are read for each item of a history where an item has one place.
_ACTIONS_PER_ITEM = 4


class TrainingData:
    """The arrays of a run, memory-mapped.

    Attributes:
        config: the run's.
        query, item, user, picture: int32 columns of the positive events of the train split; -1 = none.
        at: their POSIX seconds.
        queries: distinct normalised queries; row 0 is the empty one.
        item_picture: int32 ``[N]``, picture id of each item or -1.
        item_hash: int64 ``[N]``, the hash of each item's id.
        item_bands: int8 ``[N, attributes]``, see `models.dataset.bands`; -1 = not known.
        picture_files: for each picture id a file that has it.
        intent: int64 ``[Q]`` by row of the distinct queries, see `models.dataset.intents`; 0 = none.
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
        self.item_picture: I32 = self.column("item_picture")
        self.item_hash: I64 = self.column("item_hash")
        # What an earlier version prepared has none.
        told = (folder / "item_bands.npy").is_file()
        self.item_bands: I8 = self.column("item_bands") if told else np.zeros((self.items, 0), np.int8)
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
        self._history_query: I32 = self.column("history_query")
        self._history_picture: I32 = self.column("history_picture")
        self._log_query: I32 = self.column("positive_log_query")
        self._log_picture: I32 = self.column("positive_log_picture")
        self.intent: I64 = self.column("query_intent")
        self._known = Known.read(self.folder, self.items, self.intent, self.query, self.picture, self.item)
        low = self.column("low_asked")
        # What was clicked as well is no negative.
        answers = self.answer(low[:, 0], low[:, 2], low[:, 1])
        low = low[~answers]
        self._low_item: I64 = low[:, 2]
        self._low_grade: F32 = self.column("low_grade")[~answers]
        self._low_key: I64 = self._ask(low[:, 0], low[:, 1])

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

    def are_positive(self, query: I64, items: I64, picture: I64 | None = None) -> Bool:
        """Whether an item was ever clicked for a query of the same intent or for the picture, or labelled so.

        The cost is that of the items that are known to answer, and a byte for each pair.

        Args:
            query: ``[B]``, rows of the distinct queries, 0 = none.
            items: ``[M]``.
            picture: ``[B]``, picture ids, -1 = none; None for none at all.

        Returns:
            ``[B, M]``.
        """
        distinct, places = np.unique(items, return_inverse=True)
        result = np.zeros((len(query), len(distinct)), dtype=np.bool_)
        for asked in self._numbers(query, picture):
            result[self._known.among(asked, distinct)] = True
        # Most callers ask for distinct items already.
        return result if np.array_equal(distinct, items) else result[:, places]

    def answer(self, query: I64, items: I64, picture: I64 | None = None) -> Bool:
        """The same for pairs: arguments ``[B]`` -> ``[B]``."""
        result = np.zeros(len(query), dtype=np.bool_)
        for asked in self._numbers(query, picture):
            result |= self._known.answers(asked, items)
        return result

    def answers_of(self, query: int) -> I64:
        """The items that are known to answer a query, as `are_positive` has it: sorted rows."""
        intent = int(self.intent[query])
        return self._known.of(intent) if intent > 0 else np.zeros(0, np.int64)

    def _numbers(self, query: I64, picture: I64 | None) -> Iterator[I64]:
        """What was asked as `Known` numbers it, -1 = nothing: by words, and by picture."""
        intent = self.intent[query]
        yield np.where(intent > 0, intent, -1)
        if picture is not None:
            yield np.where(picture >= 0, self._known.pictures + picture, -1)

    def low_relevance(self, query: int, picture: int = -1) -> tuple[I64, F32]:
        """Items labelled as of low relevance for what was asked, less those clicked for it; and their labels.

        A label of a search by words and picture counts for the two together: half of such items answer the
        words alone.
        """
        key = self._ask(np.array([query]), np.array([picture]))[0]
        low, high = np.searchsorted(self._low_key, [key, key + 1])
        return self._low_item[low:high], self._low_grade[low:high]

    def low_spans(self, query: I64, picture: I64) -> tuple[I64, I64]:
        """Where `low_at` has the labels of what was asked ``[B]``: first places and ends, each ``[B]``."""
        key = self._ask(query, picture)
        return np.searchsorted(self._low_key, key), np.searchsorted(self._low_key, key + 1)

    def low_at(self, places: I64) -> tuple[I64, F32]:
        """Items and labels of low relevance at some places."""
        return self._low_item[places], self._low_grade[places]

    def low_by_words(self) -> tuple[I64, I64]:
        """What each label is for, as `low_at` numbers them: rows of the queries, and items, both ``[L]``.

        -1 is a search with a picture.
        """
        query, picture = np.divmod(self._low_key, len(self.picture_files) + 1)
        return np.where(picture == 0, query, -1), self._low_item

    def _ask(self, query: I64, picture: I64) -> I64:
        """One number for a query and a picture, ordered by both."""
        result: I64 = query.astype(np.int64) * (len(self.picture_files) + 1) + picture + 1
        return result

    def has_history(self) -> Bool:
        """For each positive event whether `histories` has a behaviour for it."""
        return ~np.concatenate([np.zeros(0, np.bool_), *self._bare()])

    def _bare(self) -> Iterator[Bool]:
        """Whether positive events have no history, a part of them at a time."""
        for start in range(0, len(self.user), _EVENTS):
            rows = slice(start, start + _EVENTS)
            user, at = self.user[rows].astype(np.int64), np.asarray(self.at[rows])
            low = np.where(user >= 0, self._ends[np.maximum(user, 0)], 0)
            last = low.copy()
            known = np.flatnonzero(user >= 0)
            last[known] = self._before(user[known], at[known])
            bare = np.ones(len(user), dtype=np.bool_)
            for back in range(1, 2 * self.config.dimensions.history + 1):
                open_rows = np.flatnonzero(bare & (last - back >= low))
                if not len(open_rows):
                    break
                bare[open_rows] = self._cut(start + open_rows, last[open_rows] - back)
            yield bare

    def _before(self, user: I64, at: F64) -> I64:
        """Where the behaviours of users that lie before some moments end: ``[n]``."""
        low, high = self._ends[user].astype(np.int64), self._ends[user + 1].astype(np.int64)
        while (open_rows := np.flatnonzero(low < high)).size:
            middle = (low[open_rows] + high[open_rows]) // 2
            less = self._at[middle] < at[open_rows]
            low[open_rows[less]] = middle[less] + 1
            high[open_rows[~less]] = middle[~less]
        return low

    def _cut(self, rows: I64, past: I64) -> Bool:
        """Whether behaviours ``past`` ``[n]`` are cut from the histories of events ``rows`` ``[n]``."""
        data = self.config.data
        ago = self.at[rows] - self._at[past]
        query, picture = self._log_query[rows], self._log_picture[rows]
        asks = (query > 0) | (picture >= 0)
        same = asks & (self._history_query[past] == query) & (self._history_picture[past] == picture)
        own = same & (ago <= data.same_search_minutes * 60.0)
        item = (self._item[past] == self.item[rows]) & (ago <= data.same_item_days * SECONDS_PER_DAY)
        result: Bool = own | item
        return result

    def histories(self, rows: I64) -> Histories:
        """The last K behaviours before each positive event; with ``data.one_slot`` on as many items.

        Left out are those of the event's own search (`same_search`) and those on its own item within
        ``data.same_item_days``: at the time of the search they had not happened.
        """
        wanted, one_slot = self.config.dimensions.history, self.config.data.one_slot
        depth = wanted * _ACTIONS_PER_ITEM if one_slot else wanted
        same_item = self.config.data.same_item_days * SECONDS_PER_DAY
        window = self.config.data.same_search_minutes * 60.0
        result = Histories.empty(len(rows), depth)
        for place, row in enumerate(rows.tolist()):
            user, at, target = int(self.user[row]), float(self.at[row]), int(self.item[row])
            if user < 0:
                continue
            low, high = int(self._ends[user]), int(self._ends[user + 1])
            stop = low + int(np.searchsorted(self._at[low:high], at, side="left"))
            # Twice the depth is read so that what is cut can be made up for.
            past = slice(max(low, stop - 2 * depth), stop)
            ago, items = (at - self._at[past])[::-1], self._item[past][::-1]
            asked = int(self._log_query[row]), int(self._log_picture[row])
            own = same_search(
                asked, self._history_query[past], self._history_picture[past], window, ago[::-1]
            )
            cut = own[::-1] | ((items == target) & (ago <= same_item))
            keep = np.flatnonzero(~cut)[:depth]
            result.fill(place, items[keep], self._action[past][::-1][keep], ago[keep] / SECONDS_PER_DAY)
        return result.last_of_each().newest(wanted) if one_slot else result

    def beside(self, row: int, window: float, following: int) -> tuple[I64, I64]:
        """What a positive event's own visit adds to the co-clicks of its item: items, and how often.

        As `models.dataset.coclick.count_pairs` counts: pairs of the user's behaviours at most ``window``
        seconds and ``following`` places apart, of which one is on the event's item.
        """
        user, at, target = int(self.user[row]), float(self.at[row]), int(self.item[row])
        if user < 0:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        low, high = int(self._ends[user]), int(self._ends[user + 1])
        near = low + np.searchsorted(self._at[low:high], [at - 2 * window, at + 2 * window])
        when, items = self._at[near[0] : near[1]], self._item[near[0] : near[1]].astype(np.int64)
        order = np.lexsort((items, when))
        when, items = when[order], items[order]
        own = np.flatnonzero((items == target) & (np.abs(when - at) <= window))
        others: list[I64] = []
        for place in own.tolist():
            around = slice(max(0, place - following), place + following + 1)
            close = np.abs(when[around] - when[place]) <= window
            others.append(items[around][close & (items[around] != target)])
        return np.unique(np.concatenate([*others, np.zeros(0, np.int64)]), return_counts=True)
