"""For every intent the items that a shop's search could show: those that answer it and near misses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.arrays import F64, I32, I64
from models.synthetic import lexicon
from models.synthetic.attributes import CATEGORY, TOP, UNASKED, Codes, grade
from models.synthetic.catalogue import Catalogue

#: Candidates kept of an intent; popular items are likelier to be among them.
FULL_LIMIT = 2000
NEAR_LIMIT = 400


@dataclass(frozen=True)
class Pools:
    """Rows of items for each intent, most popular first.

    Intent n owns ``rows[start[n]:start[n] + length[n]]``.
    """

    rows: I32
    start: I64
    length: I64

    def draw(self, intents: I64, u: F64) -> I64:
        """One item of each intent's pool, popular ones more often; -1 where the pool is empty.

        ``intents`` int64 and ``u`` in [0, 1) have one shape, which the result has too.
        """
        length = self.length[intents]
        place = self.start[intents] + (u**1.5 * length).astype(np.int64)
        if not len(self.rows):
            return np.full(intents.shape, -1, dtype=np.int64)
        return np.where(length > 0, self.rows[np.minimum(place, len(self.rows) - 1)], -1)


def build_pools(catalogue: Catalogue, intents: Codes, rng: np.random.Generator) -> tuple[Pools, Pools]:
    """Pools of answers (grade 1) and of near misses (grade between 0 and 1) for intents ``[8, n]``."""
    order = np.argsort(catalogue.codes[CATEGORY], kind="stable")
    category = catalogue.codes[CATEGORY, order]
    codes = catalogue.codes[:, order]
    chance = np.log(catalogue.popularity)[order] + rng.gumbel(size=len(order))
    full: list[I32] = []
    near: list[I32] = []
    for intent in intents.T:
        low, high = _categories(intent)
        part = slice(*np.searchsorted(category, [low, high]).tolist())
        grades = grade(intent[:, None], codes[:, part])
        for kept, limit, chosen in (
            (full, FULL_LIMIT, grades == 1),
            (near, NEAR_LIMIT, (grades > 0) & (grades < 1)),
        ):
            rows = np.flatnonzero(chosen)
            keys = chance[part][rows]
            if len(rows) > limit:
                top = np.argpartition(-keys, limit)[:limit]
                rows, keys = rows[top], keys[top]
            kept.append(order[part][rows[np.argsort(-keys, kind="stable")]].astype(np.int32))
    return _pack(full), _pack(near)


def _categories(intent: Codes) -> tuple[int, int]:
    """Range of leaf codes that an intent allows; leaves of a top category stand together."""
    if intent[CATEGORY] != UNASKED:
        return int(intent[CATEGORY]), int(intent[CATEGORY]) + 1
    if intent[TOP] != UNASKED:
        leaves = [c for c in range(len(lexicon.CATEGORIES)) if lexicon.top_of(c) == intent[TOP]]
        return leaves[0], leaves[-1] + 1
    return 0, len(lexicon.CATEGORIES)


def _pack(parts: list[I32]) -> Pools:
    length = np.array([len(part) for part in parts], dtype=np.int64)
    start = np.cumsum(length) - length
    return Pools(np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32), start, length)
