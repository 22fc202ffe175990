"""The words of a base: for each the rows that have it and what it is worth there, memory-mapped.

On disk one Arrow file with one record batch, whose single row holds the arrays. A base keeps the texts too
(`index.embedded.texts`), which changes and rebuilds start from.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from artifacts.words import Tokeniser
from common.arrays import F32, I32, I64
from index.embedded.bm25 import Posting, Statistics

_SCHEMA = pa.schema(
    {
        "words": pa.large_list(pa.large_string()),
        "offsets": pa.large_list(pa.int64()),
        "rows": pa.large_list(pa.int32()),
        "scores": pa.large_list(pa.float32()),
        "tops": pa.large_list(pa.float32()),
    }
)


@dataclass(frozen=True, slots=True)
class WordTable:
    """``words[w]`` (sorted) is in the rows ``rows[offsets[w]:offsets[w + 1]]``, with these ``scores``.

    ``words`` is a pyarrow string array: a dictionary of a million words costs no Python objects. ``tops`` are
    the largest scores of each word.
    """

    words: Any
    offsets: I64
    rows: I32
    scores: F32
    tops: F32

    @classmethod
    def open(cls, path: Path) -> WordTable:
        """Map a words file.

        Raises:
            ValueError: the file holds something else.
        """
        with pa.memory_map(str(path)) as source:
            try:
                batch = pa.ipc.open_file(source).get_batch(0)
                words, *arrays = (batch.column(name)[0].values for name in _SCHEMA.names)
            except (pa.ArrowInvalid, KeyError, AttributeError) as error:
                raise ValueError(f"it is no words file ({error})") from error
        table = cls(words, *(array.to_numpy() for array in arrays))
        table._check()
        return table

    def _check(self) -> None:
        """Compare the sizes of the parts, which a search relies on; reads the offsets and no more."""
        words, offsets = len(self.words), self.offsets
        whole = len(offsets) == words + 1 and len(self.tops) == words and len(self.rows) == len(self.scores)
        if not whole or offsets[0] != 0 or offsets[-1] != len(self.rows) or (np.diff(offsets) < 1).any():
            raise ValueError("its words and rows do not go together")

    def check_rows(self, rows: int) -> None:
        """Look at every row that is named.

        Raises:
            ValueError: there is no such row.
        """
        if len(self.rows) and not 0 <= int(self.rows.min()) <= int(self.rows.max()) < rows:
            raise ValueError(f"it names a row beyond the {rows} that there are")

    def write(self, path: Path) -> None:
        """Write a words file."""
        cells = []
        for field in _SCHEMA:
            values = pa.array(getattr(self, field.name), type=field.type.value_type)
            cells.append(pa.LargeListArray.from_arrays(pa.array([0, len(values)], pa.int64()), values))
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
            writer.write_batch(pa.record_batch(cells, schema=_SCHEMA))

    def _place(self, word: str) -> int | None:
        words = self.words
        place = bisect_left(range(len(words)), word, key=lambda i: words[i].as_py())
        return place if place < len(words) and words[place].as_py() == word else None

    def found(self, word: str) -> int:
        """How many items have a word."""
        place = self._place(word)
        return 0 if place is None else int(self.offsets[place + 1] - self.offsets[place])

    def posting(self, word: str) -> Posting | None:
        """The items that have a word; None where none has."""
        place = self._place(word)
        if place is None:
            return None
        items = slice(int(self.offsets[place]), int(self.offsets[place + 1]))
        return Posting(self.rows[items], self.scores[items], float(self.tops[place]))


class WordCounter:
    """Counts the words of all items of a base, which are added in the order of their rows."""

    def __init__(self, tokeniser: Tokeniser, fields: Iterable[str]) -> None:
        self._tokeniser = tokeniser
        self._fields = tuple(fields)
        self._numbers: dict[str, int] = {}
        self._lengths: list[I32] = []
        self._parts: list[tuple[I32, I32, I32]] = []
        self._rows = 0

    def add(self, items: Iterable[Mapping[str, str]]) -> None:
        """Count the next items' words."""
        numbers, lengths = [], []
        for texts in items:
            words = self._tokeniser.item(texts, self._fields)
            lengths.append(len(words))
            numbers += [self._numbers.setdefault(word, len(self._numbers)) for word in words]
        sizes = np.array(lengths, dtype=np.int64)
        rows = np.repeat(np.arange(len(sizes)), sizes)
        # Within these items a pair of item and word is one number; equal ones are counted.
        width = max(1, len(self._numbers))
        pairs, counts = np.unique(rows * width + np.array(numbers, dtype=np.int64), return_counts=True)
        self._parts.append(
            (
                (pairs % width).astype(np.int32),
                (pairs // width + self._rows).astype(np.int32),
                counts.astype(np.int32),
            )
        )
        self._lengths.append(sizes.astype(np.int32))
        self._rows += len(sizes)

    def table(self) -> tuple[WordTable, float]:
        """The table of all items' words, and how many words an item has on average."""
        words, rows, counts = (np.concatenate(parts) for parts in zip(*self._parts, strict=True))
        lengths = np.concatenate(self._lengths)
        statistics = Statistics(self._rows, float(lengths.mean()) if len(lengths) else 0.0)
        known = sorted(self._numbers)
        ranks = np.empty(len(known), dtype=np.int32)
        ranks[[self._numbers[word] for word in known]] = np.arange(len(known), dtype=np.int32)
        ranked = ranks[words]
        order = np.argsort(ranked, kind="stable")  # rows stay in order within a word
        ranked, rows, counts = ranked[order], rows[order], counts[order]
        found = np.bincount(ranked, minlength=len(known))
        offsets = np.concatenate([[0], np.cumsum(found)]).astype(np.int64)
        weights = statistics.weight(counts, lengths[rows])
        scores = (np.repeat(statistics.idf(found), found) * weights).astype(np.float32)
        tops = np.maximum.reduceat(scores, offsets[:-1]) if len(known) else scores
        return WordTable(pa.array(known, pa.large_string()), offsets, rows, scores, tops), (
            statistics.mean_length
        )
