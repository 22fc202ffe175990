"""Hard negatives: drawn of what was mined and of labels."""

import numpy as np
import pytest

from models.dataset.training_data import TrainingData
from models.training.hard import HardNegatives
from models.training.mining import Mined
from tests.support.training_data import changed, small_training_data

WORDS = np.array([-1])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    return small_training_data(tmp_path_factory.mktemp("small"))


def mined(items: list[list[int]], grades: list[list[float]] | None = None) -> Mined:
    rows = np.array(items, dtype=np.int32)
    unknown = np.full(rows.shape, np.nan, np.float32)
    return Mined(rows, unknown if grades is None else np.array(grades, np.float32))


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.25, 2), (0.5, 4), (1.0, 8)])
def test_mined_negatives_and_labels_take_their_shares(small: TrainingData, share: float, count: int) -> None:
    hard = HardNegatives(changed(small, {"loss.mined_share": share}))
    hard.mined = mined([[-1, -1], [2, -1], [1, 3]])
    # "mug" has item d as its label and c as mined; "cup" has no label.
    drawn = hard.draw(np.array([1, 2]), np.full(2, -1), 8, np.random.default_rng(0))
    assert drawn.present.all()
    assert not drawn.taught.any()
    assert sorted(drawn.items[0].tolist()) == [2] * count + [3] * (8 - count)
    assert set(drawn.items[1].tolist()) == {1, 3}


def test_what_was_mined_for_words_is_none_of_a_picture(small: TrainingData) -> None:
    hard = HardNegatives(small)
    hard.mined = mined([[-1], [-1], [3]])
    assert hard.draw(np.array([2]), WORDS, 8, np.random.default_rng(0)).present.all()
    # What was mined for the words may be what a picture beside them shows.
    assert not hard.draw(np.array([2]), np.array([0]), 8, np.random.default_rng(0)).present.any()
    assert hard.draw(np.array([2]), WORDS, 0, np.random.default_rng(0)).items.shape == (1, 0)


def test_what_the_teacher_calls_relevant_teaches_but_is_no_negative(small: TrainingData) -> None:
    hard = HardNegatives(small)
    hard.mined = mined([[-1, -1], [-1, -1], [-1, 1], [3, -1]], [[0, 0], [0, 0], [0, 0.9], [0.2, 0]])
    drawn = hard.draw(np.array([2]), WORDS, 4, np.random.default_rng(0))
    assert drawn.items.tolist() == [[1] * 4]
    np.testing.assert_allclose(drawn.grades, 0.9)
    assert drawn.taught.all()
    assert not drawn.present.any()
