"""Labels of low relevance that look like answers.

Who labels errs, and a log that calls low what nobody clicked errs more. A wrong label pushes away what
answers, so a few of them undo what the others teach. What speaks against a label needs no further data: the
item lies nearer to the query than the query's other labels do, and near to something that was clicked for it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from common.arrays import F16, F32, F64, I64, Bool
from common.files import replacing
from models.dataset.training_data import TrainingData

#: Answers of a query that its labels are compared with (*inferred*), and texts or items encoded together.
_ANSWERS, _CHUNK = 256, 1024


def judged_labels(
    path: Path, data: TrainingData, queries: Callable[[list[str]], F32], items: Callable[[I64], F32]
) -> Bool:
    """Which of the labels of low relevance are kept, ``[L]``, as `TrainingData.low_at` numbers them.

    Of those for words alone they are ``loss.labels_kept``, those of least doubt. All others are kept: words
    say little of what a picture asks.

    Args:
        path: read where it is there, else written.
        data: its labels.
        queries: what experts say of texts ``[n]`` -> ``[n, M * d]``.
        items: what they say of rows of the catalogue ``[n]`` -> ``[n, M * d]``.
    """
    if not path.is_file():
        asked, item = data.low_by_words()
        kept = np.ones(len(asked), dtype=np.bool_)
        places = np.flatnonzero(asked >= 0)
        if len(places):
            order = np.argsort(doubts(data, asked[places], item[places], queries, items), kind="stable")
            kept[places[order[round(data.config.loss.labels_kept * len(order)) :]]] = False
        with replacing(path) as written:
            np.save(written, kept)
    found: Bool = np.load(path)
    return found


def doubts(
    data: TrainingData,
    asked: I64,
    item: I64,
    queries: Callable[[list[str]], F32],
    items: Callable[[I64], F32],
) -> F64:
    """How much speaks against each label, 0 to 2 ``[n]``: a rank among them by each of two signs.

    Args:
        data: knows what was clicked.
        asked: rows of the distinct queries ``[n]``, in order.
        item: rows of the catalogue ``[n]``.
        queries, items: as `judged_labels` has them.
    """
    distinct, first = np.unique(asked, return_index=True)
    ends = np.append(first[1:], len(asked))
    answers = [data.answers_of(int(row))[:_ANSWERS] for row in distinct]
    rows = np.unique(np.concatenate([item, *answers]))
    features = _encoded(rows, items)
    near, like = np.zeros(len(asked)), np.full(len(asked), np.nan)
    for start in range(0, len(distinct), _CHUNK):
        part = distinct[start : start + _CHUNK].tolist()
        vectors = queries([data.queries[row] for row in part])
        for place, vector in enumerate(vectors, start):
            own = slice(first[place], ends[place])
            labelled = features[np.searchsorted(rows, item[own])].astype(np.float32)
            cosines = labelled @ vector
            near[own] = cosines - cosines.mean()
            if len(answers[place]):
                known = features[np.searchsorted(rows, answers[place])].astype(np.float32)
                like[own] = (labelled @ known.T).max(axis=1)
    return _ranks(near) + _ranks(like)


def _encoded(rows: I64, items: Callable[[I64], F32]) -> F16:
    parts = (items(rows[start : start + _CHUNK]) for start in range(0, len(rows), _CHUNK))
    return np.concatenate([part.astype(np.float16) for part in parts])


def _ranks(values: F64) -> F64:
    """Places in the order of values, above 0 and up to 1; the same for equal values, one half where none is.

    A query's only label is as near to it as its labels are on average, so that many values are equal.
    """
    result, told = np.full(len(values), 0.5), np.flatnonzero(~np.isnan(values))
    _, which, counts = np.unique(values[told], return_inverse=True, return_counts=True)
    places = np.cumsum(counts) - (counts - 1) / 2
    result[told] = places[which] / max(1, len(told))
    return result
