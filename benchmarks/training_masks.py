"""What the host takes to find the columns of a training step that are no negatives: CPU seconds a step.

::

    python -m benchmarks.training_masks --rows 4096 --columns 12288 --json masks.json

Drawn at random: a catalogue, intents, and what answers each. Beside it stands the plain way, a bisection for
every pair of row and column, on fewer rows; its cost is in proportion to them. Both must mark the same.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from common.arrays import I64, Bool
from models.dataset.known import Known

_ITEMS, _INTENTS, _ANSWERS = 1_000_000, 200_000, 20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=4096, help="rows of a step")
    parser.add_argument("--columns", type=int, default=12_288, help="columns of a step")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    rng = np.random.default_rng(0)
    keys = rng.integers(_INTENTS, size=_INTENTS * _ANSWERS) * _ITEMS + rng.integers(
        _ITEMS, size=_INTENTS * _ANSWERS
    )
    known = Known(np.unique(keys), _ITEMS, _INTENTS)
    asked = rng.integers(_INTENTS, size=chosen.rows)
    positives = np.array([known.of(row)[0] if len(known.of(row)) else 0 for row in asked.tolist()])
    columns = np.concatenate([positives, rng.integers(_ITEMS, size=chosen.columns - chosen.rows)])
    fewer = max(1, chosen.rows // 16)

    def ours(rows: I64) -> Bool:
        distinct, places = np.unique(columns, return_inverse=True)
        found = np.zeros((len(rows), len(distinct)), dtype=np.bool_)
        found[known.among(rows, distinct)] = True
        return found[:, places]

    def plain(rows: I64) -> Bool:
        pairs = np.repeat(rows, len(columns)), np.tile(columns, len(rows))
        return known.answers(*pairs).reshape(len(rows), len(columns))

    if not np.array_equal(ours(asked[:fewer]), plain(asked[:fewer])):
        raise SystemExit("the two ways do not agree")
    figures = {
        "rows": chosen.rows,
        "columns": chosen.columns,
        "cpu_s": _median(lambda: ours(asked), chosen.rounds),
        "plain_cpu_s": _median(lambda: plain(asked[:fewer]), chosen.rounds) * chosen.rows / fewer,
    }
    print(json.dumps(figures, indent=2))
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2))


def _median(run: Callable[[], object], rounds: int) -> float:
    spent = []
    for _ in range(rounds):
        began = time.process_time()
        run()
        spent.append(time.process_time() - began)
    return statistics.median(spent)


if __name__ == "__main__":
    main()
