"""Item texts as ids on disk: memory-mapped, ragged, cut into padded batches when asked for."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np

from artifacts.bundle import ItemText, TextBatch, TextFeatures
from common.arrays import I32, I64

_CHUNK = 512


def write_item_texts(items: Iterable[ItemText], text: TextFeatures, folder: Path) -> None:
    """Write the ids of item texts; distinct words are stored once, with their n-grams."""
    tokens, token_ends = array("i"), array("q", [0])
    word_ids, word_ends = array("i"), array("q", [0])
    depth = text.spec.ngrams_per_word
    known: dict[bytes, int] = {}
    rows: list[I32] = []
    source = iter(items)
    while chunk := list(islice(source, _CHUNK)):
        batch = text.items(chunk)
        grams = np.zeros((*batch.ngram_ids.shape[:2], depth), dtype=np.int32)
        grams[:, :, : batch.ngram_ids.shape[2]] = batch.ngram_ids
        lengths = (batch.input_ids > 0).sum(axis=1).tolist()
        widths = (grams[:, :, 0] > 0).sum(axis=1).tolist()
        for row, (length, width) in enumerate(zip(lengths, widths, strict=True)):
            tokens.extend(batch.input_ids[row, :length].tolist())
            token_ends.append(len(tokens))
            for word in grams[row, :width]:
                key = word.tobytes()
                if (place := known.get(key)) is None:
                    place = known[key] = len(rows)
                    rows.append(word.copy())
                word_ids.append(place)
            word_ends.append(len(word_ids))
    folder.mkdir(parents=True, exist_ok=True)
    columns = {"tokens": tokens, "token_ends": token_ends, "words": word_ids, "word_ends": word_ends}
    for name, column in columns.items():
        np.save(folder / f"{name}.npy", np.array(column))
    np.save(folder / "grams.npy", np.array(rows, dtype=np.int32).reshape(len(rows), depth))


class TextStore:
    """Reads what `write_item_texts` wrote; gives the very batches that `TextFeatures.items` gives."""

    def __init__(self, folder: Path) -> None:
        self._tokens = np.load(folder / "tokens.npy", mmap_mode="r")
        self._token_ends: I64 = np.load(folder / "token_ends.npy")
        self._words = np.load(folder / "words.npy", mmap_mode="r")
        self._word_ends: I64 = np.load(folder / "word_ends.npy")
        self._grams = np.load(folder / "grams.npy", mmap_mode="r")

    def __len__(self) -> int:
        return len(self._token_ends) - 1

    def batch(self, rows: I64) -> TextBatch:
        """Ids of items, padded to the longest."""
        input_ids = _padded(self._tokens, self._token_ends, rows, 0)
        words = _padded(self._words, self._word_ends, rows, -1)
        if words.shape[1] == 0:
            return TextBatch(input_ids, np.zeros((len(rows), 1, 1), dtype=np.int64))
        grams = np.asarray(self._grams[np.maximum(words, 0)], dtype=np.int64)
        grams[words < 0] = 0
        depth = int((grams > 0).any(axis=(0, 1)).sum()) or 1
        return TextBatch(input_ids, grams[:, :, :depth])


def _padded(values: I32, ends: I64, rows: I64, fill: int) -> I64:
    starts, stops = ends[rows], ends[rows + 1]
    lengths = stops - starts
    width = int(lengths.max(initial=0))
    result = np.full((len(rows), width), fill, dtype=np.int64)
    mask = np.arange(width) < lengths[:, None]
    places = (starts[:, None] + np.arange(width))[mask]
    result[mask] = values[places]
    return result
