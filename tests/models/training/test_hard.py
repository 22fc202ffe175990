"""Hard negatives: mined from ranks, and labelled."""

import numpy as np
import pytest

from models.dataset.training_data import TrainingData
from models.training.hard import HardNegatives
from tests.support.training_data import small_training_data


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    return small_training_data(tmp_path_factory.mktemp("small"))


def test_mined_negatives_come_from_the_ranks_and_are_no_positives(small: TrainingData) -> None:
    data = TrainingData.__new__(TrainingData)
    config = small.config.with_overrides({"loss.hard_ranks": [2, 4]})
    data.__dict__.update(small.__dict__, config=config)
    items = np.eye(4, dtype=np.float32)
    queries = np.array([[0] * 4, [0.1, 0.2, 0.9, 0.3], [0.4, 0.3, 0.2, 0.1]], dtype=np.float32)
    hard = HardNegatives(data)
    hard.mined = mined = hard.mine(queries, items)
    # "mug": ranks 2 to 4 are d, b, a, of which a and b were clicked. "cup": b, c, d without c.
    assert sorted(set(mined[1].tolist())) == [-1, 3]
    assert sorted(set(mined[2].tolist())) == [-1, 1, 3]
    drawn = hard.draw(np.array([2]), np.array([-1]), 8, np.random.default_rng(0))
    assert set(drawn.items[0].tolist()) == {1, 3}
    assert drawn.present.all()
    # What was mined for the words may be what a picture beside them shows.
    assert not hard.draw(np.array([2]), np.array([0]), 8, np.random.default_rng(0)).present.any()


@pytest.mark.parametrize(("share", "mined"), [(0.0, 0), (0.25, 2), (0.5, 4), (1.0, 8)])
def test_mined_negatives_and_labels_take_their_shares(small: TrainingData, share: float, mined: int) -> None:
    data = TrainingData.__new__(TrainingData)
    data.__dict__.update(small.__dict__, config=small.config.with_overrides({"loss.mined_share": share}))
    hard = HardNegatives(data)
    hard.mined = np.array([[-1, -1], [2, -1], [1, 3]], dtype=np.int32)
    # "mug" has item d as its label and c as mined; "cup" has no label.
    drawn = hard.draw(np.array([1, 2]), np.full(2, -1), 8, np.random.default_rng(0))
    assert drawn.present.all()
    assert sorted(drawn.items[0].tolist()) == [2] * mined + [3] * (8 - mined)
    assert set(drawn.items[1].tolist()) == {1, 3}
