"""Mining: ranks, and what keeps relevant items out."""

from pathlib import Path

import numpy as np
import pytest

from models.dataset.training_data import TrainingData
from models.training.mining import Mined, mine
from tests.support.training_data import changed, small_training_data

ITEMS = np.eye(4, dtype=np.float32)
QUERIES = np.array([[0] * 4, [0.1, 0.2, 0.9, 0.3], [0.4, 0.3, 0.35, 0.1]], dtype=np.float32)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    return small_training_data(tmp_path_factory.mktemp("small"))


def test_mined_negatives_come_from_the_ranks_and_are_no_positives(small: TrainingData) -> None:
    ranks = {"loss.hard_ranks": [2, 4], "loss.mined_filter": "known"}
    found = mine(changed(small, ranks), QUERIES, ITEMS).items
    # "mug": ranks 2 to 4 are d, b, a, of which a and b were clicked. "cup": c, b, d without c.
    assert sorted(found[1].tolist()) == [-1, -1, 3]
    assert sorted(found[2].tolist()) == [-1, 1, 3]
    assert mine(changed(small, {"loss.hard_ranks": [5, 9]}), QUERIES, ITEMS).items.shape == (3, 0)


def test_what_lies_near_the_known_answers_is_not_mined(small: TrainingData) -> None:
    ranks = {"loss.hard_ranks": [1, 4], "loss.mined_filter": "margin"}
    # "mug": a and b score 0.15 in the mean, so that neither c nor d lies below. "cup": c scores 0.35.
    for margin, expected in ((0.0, {1, 3}), (0.1, {3}), (0.3, set[int]()), (-0.1, {0, 1, 3})):
        found = mine(changed(small, {**ranks, "loss.guide_margin": margin}), QUERIES, ITEMS).items
        assert set(found[2].tolist()) - {-1} == expected, margin
    assert set(found[1].tolist()) == {-1}
    # Nothing is known of the empty query.
    assert set(found[0].tolist()) == {-1}


def test_a_teacher_keeps_out_what_it_calls_relevant(small: TrainingData) -> None:
    asked: list[tuple[int, int]] = []

    def grader(rows: np.ndarray, items: np.ndarray) -> np.ndarray:
        asked.extend(zip(rows.tolist(), items.tolist(), strict=True))
        return np.where(items == 1, 0.9, 0.2).astype(np.float32)

    ranks = {"teacher.enabled": True, "loss.hard_ranks": [1, 4], "loss.mined_filter": "teacher"}
    found = mine(changed(small, ranks), QUERIES, ITEMS, grader)
    assert set(found.items[2].tolist()) == {0, 3, -1}
    assert (2, 2) not in asked  # it was clicked
    # What is distilled is kept with its grade.
    teacher = {**ranks, "loss.distil": 1.0}
    kept = mine(changed(small, teacher), QUERIES, ITEMS, grader)
    assert set(kept.items[2].tolist()) == {0, 1, 3, -1}
    np.testing.assert_allclose(kept.grades[2][kept.items[2] == 1], 0.9)
    assert np.isnan(kept.grades[2][kept.items[2] < 0]).all()


def test_files_give_back_what_was_mined(small: TrainingData, tmp_path: Path) -> None:
    found = mine(changed(small, {"loss.hard_ranks": [1, 4]}), QUERIES, ITEMS)
    found.save(tmp_path / "hard.npz")
    read = Mined.read(tmp_path / "hard.npz")
    np.testing.assert_array_equal(read.items, found.items)
    np.testing.assert_array_equal(read.grades, found.grades)
