"""A lexical start for FtAtt: n-grams whose lengths make a word as long as its idf.

*Inferred.* A word is the mean of its n-grams' random, nearly orthogonal vectors, so at equal lengths the word
shrinks with its number of n-grams and "the" counts as much as a name. Row lengths are fitted so that over the
shop's texts the square of each word's length comes near its squared idf: untrained FtAtt then ranks much as
a search by character n-grams with idf does, which helps where there are few clicks to learn it from.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from artifacts.bundle.text import normalise, words
from models.dataset.training_data import TrainingData

_ROUNDS, _STEP = 30, 0.7


def scale_ngrams(table: Tensor, data: TrainingData) -> None:
    """Stretch the rows of `FtAtt.ngrams` ``[buckets, d]`` in place; their mean length stays.

    Rows of n-grams that the shop does not have get the length of the longest: they are in rare words only.
    """
    documents = [set(words(normalise(data.title(row)))) for row in range(data.items)]
    counts: dict[str, int] = {}
    for document in documents:
        for word in document:
            counts[word] = counts.get(word, 0) + 1
    if not counts:
        return
    grams = data.text.ngrams(list(counts))
    depth = max(len(row) for row in grams)
    ids = np.array([[*row, *[0] * (depth - len(row))] for row in grams])
    real = ids > 0
    seen = np.array(list(counts.values()), dtype=np.float64)
    idf = np.log1p(len(documents) / (seen + 0.5))
    # The squared length of a mean of n orthogonal rows is the sum of theirs over n squared.
    target = (idf * real.sum(axis=1)) ** 2
    square = np.full(len(table), target.mean() / real.sum(axis=1).mean())
    share = np.bincount(ids[real], minlength=len(table))
    for _ in range(_ROUNDS):
        off = np.log(target / np.where(real, square[ids], 0.0).sum(axis=1))
        moved = np.bincount(ids[real], np.broadcast_to(off[:, None], ids.shape)[real], len(table))
        square *= np.exp(_STEP * moved / np.maximum(share, 1))
    used = share > 0
    length = np.sqrt(square)
    length[~used] = length[used].max()
    length /= length[used].mean()
    with torch.no_grad():
        table *= torch.from_numpy(length).to(table)[:, None]
