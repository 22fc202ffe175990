"""fastText vectors into FtAtt's table of hashed n-grams.

*Inferred*: fastText hashes its own subwords in another way and into far more rows, so they are not copied.
The rows are fitted instead, so that the mean over a word's rows comes as near as possible to the word's given
vector (ridge regression, as in Zhao, Mudgal and Liang 2018, "Generalizing Word Embeddings using Bag of
Subwords"). Later words, typos included, get a vector from the n-grams that they share.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from artifacts.bundle.text import normalise, words
from models.dataset.training_data import TrainingData
from models.training.pretrained.fasttext import FastText
from models.training.pretrained.folder import PretrainedError

_RIDGE, _ROUNDS = 1e-3, 50


def fit_ngrams(table: Tensor, vectors: FastText, data: TrainingData) -> None:
    """Fill the rows of `FtAtt.ngrams` ``[buckets, d]`` in place, from the shop's titles and queries.

    The mean length of fitted words stays as it was; rows that no fitted word has stay as they are.

    Raises:
        PretrainedError: no word of the shop has a vector.
    """
    seen = {word: None for row in range(data.items) for word in words(normalise(data.title(row)))}
    seen |= {word: None for query in data.queries for word in words(query)}
    found = vectors.vectors(seen)
    if not found:
        raise PretrainedError("the fastText vectors have none of the words of the shop's titles and queries")
    grams = data.text.ngrams(list(found))
    target = _of_width(np.stack(list(found.values())), table.shape[1], data.config.seed)
    counts = torch.tensor([len(g) for g in grams])
    rows = torch.repeat_interleave(torch.arange(len(grams)), counts)
    columns = torch.tensor([g for row in grams for g in row])
    share = (1.0 / counts)[rows]
    places, shape = torch.stack([rows, columns]), (len(grams), len(table))
    means = torch.sparse_coo_tensor(places, share, shape, check_invariants=True).coalesce()
    length = torch.sparse.mm(means, table).norm(dim=1).mean()
    fitted = _ridge(means, target * length)
    used = torch.unique(columns)
    with torch.no_grad():
        table[used] = fitted[used]


def _of_width(vectors: np.ndarray, width: int, seed: int) -> Tensor:
    """Centred vectors at a mean length of 1, turned into ``width`` axes: their first principal ones where
    there are more, a random turn that keeps all angles where there are fewer."""
    centred = torch.from_numpy(vectors).to(torch.float32)
    centred = centred - centred.mean(dim=0)
    if centred.shape[1] > width:
        _, _, axes = torch.linalg.svd(centred.T @ centred)
        turned = centred @ axes[:width].T
    else:
        noise = torch.randn(width, centred.shape[1], generator=torch.Generator().manual_seed(seed))
        turned = centred @ torch.linalg.qr(noise).Q.T
    result: Tensor = turned / turned.norm(dim=1).mean().clamp(min=1e-9)
    return result


def _ridge(a: Tensor, b: Tensor) -> Tensor:
    """X that makes |a X - b|^2 + ridge |X|^2 least, by conjugate gradients, each column by itself."""
    across = a.t().coalesce()
    x = torch.zeros(a.shape[1], b.shape[1])
    residual = torch.sparse.mm(across, b)
    direction, size = residual.clone(), residual.square().sum(dim=0)
    for _ in range(_ROUNDS):
        moved = torch.sparse.mm(across, torch.sparse.mm(a, direction)) + _RIDGE * direction
        step = size / (direction * moved).sum(dim=0).clamp(min=1e-12)
        x += step * direction
        residual -= step * moved
        before, size = size, residual.square().sum(dim=0)
        direction = residual + (size / before.clamp(min=1e-12)) * direction
    return x
