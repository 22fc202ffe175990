"""Positives, histories cut off before a moment, and what is known of queries."""

import numpy as np
import pytest

from models.dataset.training_data import TrainingData
from models.training.hard import HardNegatives
from tests.support.training_data import small_training_data


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    return small_training_data(tmp_path_factory.mktemp("small"))


def test_positives_are_the_behaviours_of_the_train_split(small: TrainingData) -> None:
    assert small.queries == ["", "mug", "cup"]
    assert np.asarray(small.item).tolist() == [0, 1, 0, 2, 1]
    assert np.asarray(small.query).tolist() == [1, 0, 1, 2, 1]
    assert np.asarray(small.user).tolist() == [0, 0, 0, 0, -1]
    assert small.title(2) == "title c"


def test_histories_are_before_the_event_newest_first_and_without_its_own_visit(small: TrainingData) -> None:
    found = small.histories(np.arange(5))
    assert found.items.tolist() == [[-1, -1], [0, -1], [1, 0], [0, 1], [-1, -1]]
    assert found.behaviour.tolist() == [[0, 0], [1, 0], [3, 1], [2, 3], [0, 0]]
    np.testing.assert_allclose(found.age_days[3], [1.5, 2.0])
    assert small.has_history().tolist() == [False, True, True, True, False]


def test_an_item_clicked_within_the_same_visit_is_cut(small: TrainingData) -> None:
    config = small.config.with_overrides({"data.same_item_days": 2})
    longer = TrainingData.__new__(TrainingData)
    longer.__dict__.update(small.__dict__, config=config)
    # The third event is on item a, which was clicked 1.5 days before.
    assert longer.histories(np.array([2])).items.tolist() == [[1, -1]]


def test_what_was_done_in_the_same_visit_is_cut(small: TrainingData) -> None:
    config = small.config.with_overrides({"data.visit_minutes": 1.6 * 24 * 60})
    longer = TrainingData.__new__(TrainingData)
    longer.__dict__.update(small.__dict__, config=config)
    # The fourth event: item a was carted 1.5 days before it; what came before that stays.
    assert longer.histories(np.array([3])).items.tolist() == [[1, 0]]


def test_a_browse_keeps_what_its_visit_showed(small: TrainingData) -> None:
    config = small.config.with_overrides({"data.visit_minutes": 100 * 24 * 60})
    longer = TrainingData.__new__(TrainingData)
    longer.__dict__.update(small.__dict__, config=config)
    # The second event has no query, so nothing but its history says what was wanted.
    assert longer.histories(np.array([1, 2])).items.tolist() == [[0, -1], [-1, -1]]


def test_known_positives(small: TrainingData) -> None:
    known = small.are_positive(np.array([1, 2, 0]), np.array([0, 1, 2, 3]))
    expected = [[True, True, False, False], [False, False, True, False], [False] * 4]
    assert known.tolist() == expected


def test_low_relevance_is_never_what_was_clicked(small: TrainingData) -> None:
    assert small.low_relevance(1).tolist() == [3]
    assert small.low_relevance(2).tolist() == []
    items, present = HardNegatives(small).draw(np.array([1, 2, 0]), 2, np.random.default_rng(0))
    assert items[0].tolist() == [3, 3]
    assert present.tolist() == [[True, True], [False, False], [False, False]]
