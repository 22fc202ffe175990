"""Exact search of a segment: ties, and plans that change no result."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.embeddings import unit_vectors
from index.embedded import selection
from index.embedded.searched import nearest
from index.embedded.selection import Selector
from index.embedded.vectors import Vectors, write_vectors

FLAT = Selector(np.array([0, 300]))


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Vectors:
    """300 rows that hold 20 different vectors in a random order."""
    path = tmp_path_factory.mktemp("tied") / "vectors.faiss"
    order = np.random.default_rng(0).integers(0, 20, 300)
    starts = np.array([0, 300])
    write_vectors(path, 32, starts, [unit_vectors(20, 32)[order].astype(np.float16)])
    return Vectors.open(path, 32, starts)


@given(
    k=st.integers(1, 320),
    query=st.integers(0, 5),
    share=st.sampled_from([0.01, 0.04, 0.3, 0.9, 1.0]),
)
def test_equal_scores_come_by_row(tied: Vectors, k: int, query: int, share: float) -> None:
    vector = unit_vectors(6, 32, seed=5)[query]
    mask = np.random.default_rng(k).random(300) < share
    mask[7] = True
    rows, scores = nearest(tied, vector, k, FLAT.select(mask))
    # One search for everything gives every row's score to the bit; ties are broken here, by row.
    every, every_score = tied.search(vector, 300)
    score_of = dict(zip(every.tolist(), every_score.tolist(), strict=True))
    expected = sorted(np.flatnonzero(mask).tolist(), key=lambda row: (-score_of[row], row))[:k]
    assert rows.tolist() == expected
    assert scores.tolist() == [score_of[row] for row in expected]


def test_the_planner_changes_no_result(tied: Vectors, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.random.default_rng(1).random(300) < 0.3
    monkeypatch.setattr(selection, "KEPT_SHARE", 0.0)
    walked = FLAT.select(mask)
    monkeypatch.setattr(selection, "KEPT_SHARE", 1.0)
    copied = FLAT.select(mask)
    assert walked.rows is None
    assert copied.rows is not None
    for k in (1, 10, 300):
        for one, other in zip(
            nearest(tied, unit_vectors(1, 32)[0], k, walked),
            nearest(tied, unit_vectors(1, 32)[0], k, copied),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)
