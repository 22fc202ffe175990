"""How the items of a base are found by words: its texts, and the table of their words."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from artifacts.words import OLDEST_RULES, RULES, Tokeniser, tokeniser
from common.arrays import F32, I32, I64, U8, Bool
from index.embedded.bm25 import Accept, Statistics, best_rows
from index.embedded.manifest import TEXTS_NAME, WORDS_NAME, IndexDamaged, IndexManifest, TextSpec
from index.embedded.selection import Selection
from index.embedded.texts import Texts
from index.embedded.words import WordTable
from index.embedded.workers import Step

#: A selection of so many times fewer rows than a word has is looked up in these.
_MUCH_SMALLER = 16
#: Words whose rarity is kept, some 20 MB: to look one up in the table takes 20 µs. *Inferred*: texts of a
#: shop have few words that are not among its most frequent ones.
_KEPT = 100_000


@dataclass(frozen=True)
class SegmentWords:
    """Texts and words of a base. For any thread."""

    texts: Texts
    table: WordTable
    spec: TextSpec
    statistics: Statistics
    tokeniser: Tokeniser
    #: How rare a word is among the items of the base; kept for the last `_KEPT` different words.
    idf: Callable[[str], float]
    _own: threading.local

    @classmethod
    def open(cls, folder: Path, manifest: IndexManifest, spec: TextSpec) -> SegmentWords:
        """Map the files.

        Raises:
            IndexDamaged: one does not hold what the manifest says, or other rules cut its words.
        """
        if not OLDEST_RULES <= spec.rules <= RULES:
            raise IndexDamaged(
                folder / WORDS_NAME,
                f"has words cut by rules {spec.rules}, this version cuts by {RULES}: build the index again",
            )
        path = folder / TEXTS_NAME
        try:
            texts = Texts.open(path, manifest.rows, spec.fields)
            path = folder / WORDS_NAME
            table = WordTable.open(path)
            cut = tokeniser(spec.language, spec.rules)
        except (OSError, ValueError) as error:
            raise IndexDamaged(path, str(error)) from error
        statistics = Statistics(manifest.rows, spec.mean_length)

        @lru_cache(maxsize=_KEPT)
        def idf(word: str) -> float:
            return float(statistics.idf(np.array(table.found(word))))

        return cls(texts, table, spec, statistics, cut, idf, threading.local())

    def query(self, text: str) -> list[str]:
        """The different words of a query, in its order."""
        return self.tokeniser.query(text)

    def item(self, texts: Mapping[str, str]) -> list[str]:
        """The words of an item."""
        return self.tokeniser.item(texts, self.spec.fields)

    def best(
        self, words: Sequence[str], k: int, selection: Selection, alive: Bool | None, step: Step
    ) -> tuple[I64, F32]:
        """The ``k`` best selected rows that are alive, best first; exact.

        ``alive`` bool ``[rows]`` says which rows have no tombstone; None where none has one.
        """
        postings = [found for word in words if (found := self.table.posting(word)) is not None]
        if not postings or not selection.count:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        accept = _acceptance(self.statistics.items, selection, alive, step)
        return best_rows(postings, k, accept, self._sums(), step)

    def _sums(self) -> F32:
        """Zeros for each row, which a thread keeps: to clear what was used costs less than to get new."""
        sums: F32 | None = getattr(self._own, "sums", None)
        if sums is None:
            self._own.sums = sums = np.zeros(self.statistics.items, dtype=np.float32)
        return sums


def _acceptance(rows: int, selection: Selection, alive: Bool | None, step: Step) -> Accept | None:
    """Which of a word's rows are selected and alive."""
    if selection.count == rows and alive is None:
        return None
    chosen, bits = selection.rows, selection.bits
    mask: Bool | None = None

    def accept(found: I32) -> I64:
        nonlocal mask
        if chosen is not None and len(chosen) * _MUCH_SMALLER < len(found):
            places = np.searchsorted(found, chosen)
            places[places == len(found)] = 0
            places = places[found[places] == chosen]
        elif chosen is not None:
            if mask is None:
                step(len(chosen))
                mask = np.zeros(rows, dtype=np.bool_)
                mask[chosen] = True
            places = np.flatnonzero(mask[found])
        elif bits is not None:
            places = np.flatnonzero(_held(bits, found))
        else:
            places = np.arange(len(found))
        return places if alive is None else places[alive[found[places]]]

    return accept


def _held(bits: U8, rows: I32) -> U8:
    held: U8 = bits[rows >> 3] >> (rows & 7).astype(np.uint8) & 1
    return held
