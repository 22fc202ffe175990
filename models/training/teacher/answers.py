"""Answers that nobody clicked: what the experts rank high and the teacher grades as relevant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from common.arrays import F32
from common.files import replacing
from models.dataset.known import Known
from models.dataset.training_data import TrainingData
from models.training.mining import Grader

#: Ranks that are graded, and queries that are ranked together.
_RANKS, _CHUNK = 100, 256


def taught_answers(
    path: Path,
    data: TrainingData,
    ranked: Callable[[], tuple[F32, F32]],
    grader: Grader,
    device: str = "cpu",
) -> Known:
    """What answers the intents of the first queries, by the teacher; kept at ``path``.

    Args:
        path: read where it is there.
        data: its queries come in order.
        ranked: the queries ``[Q, e]`` and all items ``[N, e]`` that products rank.
        grader: the teacher.
        device: where products are made.
    """
    if not path.is_file():
        queries, items = ranked()
        catalogue, keys = torch.from_numpy(items).to(device), [np.zeros(0, np.int64)]
        depth = min(_RANKS, data.items)
        for start in range(0, len(queries), _CHUNK):
            part = torch.from_numpy(queries[start : start + _CHUNK]).to(device)
            top = (part @ catalogue.T).topk(depth, dim=1).indices.cpu().numpy().astype(np.int64)
            rows, item = np.repeat(np.arange(start, start + len(part)), depth), top.ravel()
            asks = data.intent[rows] > 0
            rows, item = rows[asks], item[asks]
            right = grader(rows, item) >= data.config.teacher.answers
            keys.append(data.intent[rows[right]] * data.items + item[right])
        with replacing(path) as written:
            np.save(written, np.unique(np.concatenate(keys)))
    return Known(np.load(path), data.items, int(data.intent.max(initial=0)) + 1)
