"""Positives, histories cut off before a moment, and what is known of queries."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.shop.schema import Event
from models.dataset.known import Known
from models.dataset.training_data import TrainingData
from models.towers import Config
from models.training.hard import HardNegatives
from tests.support.training_data import day, small_training_data, training_data


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


def test_what_was_done_for_the_same_search_is_cut(small: TrainingData) -> None:
    config = small.config.with_overrides({"data.same_search_minutes": 1.6 * 24 * 60})
    longer = TrainingData.__new__(TrainingData)
    longer.__dict__.update(small.__dict__, config=config)
    # The third event, "mug": item a was clicked for "mug" 1.5 days before it, b was ordered without a query.
    assert longer.histories(np.array([2])).items.tolist() == [[1, -1]]
    # The fourth, "cup": what was done for "mug" stays.
    assert longer.histories(np.array([3])).items.tolist() == [[0, 1]]


def test_a_browse_keeps_what_its_visit_showed(small: TrainingData) -> None:
    config = small.config.with_overrides({"data.same_search_minutes": 100 * 24 * 60})
    longer = TrainingData.__new__(TrainingData)
    longer.__dict__.update(small.__dict__, config=config)
    # The second event has no query, so nothing but its history says what was wanted.
    assert longer.histories(np.array([1])).items.tolist() == [[0, -1]]


def test_what_a_visit_adds_to_the_co_clicks_of_its_item(small: TrainingData) -> None:
    day = 24 * 3600.0
    # User u goes a, b a day later, a again half a day later, c another 1.5 days later.
    for row, window, expected in (
        (0, day, {1: 1}),  # a, and b within a day
        (2, day, {1: 1}),  # a again, after b
        (1, day, {0: 2}),  # b, with both a
        (2, 2 * day, {1: 2, 2: 1}),
        (4, day, {}),  # nobody knows who that was
    ):
        items, times = small.beside(row, window, following=5)
        assert dict(zip(items.tolist(), times.tolist(), strict=True)) == expected


def test_known_positives(small: TrainingData) -> None:
    known = small.are_positive(np.array([1, 2, 0]), np.array([0, 1, 2, 3]))
    expected = [[True, True, False, False], [False, False, True, False], [False] * 4]
    assert known.tolist() == expected


def test_a_label_says_what_answers_although_nobody_clicked_it(tmp_path: Path) -> None:
    events = [
        Event(day(0), "a", "click", "mug", "u", split="train"),
        Event(day(1), "b", "impression", "mugs", "u", relevance=0.9, split="train"),
        Event(day(1), "c", "impression", "mug", "u", relevance=0.9, split="val"),
        Event(day(1), "d", "impression", "mug", "u", relevance=0.1, split="train"),
        Event(day(2), "d", "impression", "mug", "u", relevance=0.9, split="train"),
        Event(day(3), "c", "click", "mugs", "u", split="train"),
    ]
    data = training_data(tmp_path, events)
    # Nothing is a positive for its label alone, and labels of val are unknown.
    assert np.asarray(data.item).tolist() == [0, 2]
    assert data.queries == ["", "mug", "mugs"]
    assert data.answers_of(1).tolist() == data.answers_of(2).tolist() == [0, 1, 2, 3]
    assert data.low_relevance(1)[0].tolist() == []
    assert data.answers_of(0).tolist() == []
    (tmp_path / "data" / "answering_asked.npy").unlink()  # as earlier versions prepared it
    earlier = TrainingData(tmp_path / "data", data.config)
    assert earlier.answers_of(1).tolist() == [0, 2]
    assert earlier.low_relevance(1)[0].tolist() == [3]


@given(st.integers(0, 2**32 - 1))
def test_answers_are_found_among_any_columns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    items, numbers = int(rng.integers(1, 9)), int(rng.integers(1, 5))
    pairs = rng.random((numbers, items)) < rng.random()
    asked, answer = np.nonzero(pairs)
    known = Known(np.unique(asked * items + answer), items, numbers)
    rows = rng.integers(-1, numbers, size=rng.integers(0, 6))
    columns = np.unique(rng.integers(0, items, size=rng.integers(0, 12)))
    expected = pairs[rows][:, columns] & (rows >= 0)[:, None]
    found = np.zeros_like(expected)
    found[known.among(rows, columns)] = True
    np.testing.assert_array_equal(found, expected)
    for row, column in np.ndindex(expected.shape):
        pair = rows[row : row + 1], columns[column : column + 1]
        assert known.answers(*pair).tolist() == [bool(expected[row, column])]
    for number in range(numbers):
        assert known.of(number).tolist() == np.flatnonzero(pairs[number]).tolist()


@pytest.mark.parametrize("minutes", [0.0, 60.0, 100_000.0])
def test_who_has_a_history_is_known_without_reading_it(run: Path, config: Config, minutes: float) -> None:
    changes = {"data.same_search_minutes": minutes, "data.same_item_days": 30}
    data = TrainingData(run / "data", config.with_overrides(changes))
    rows = np.arange(len(data.item))
    np.testing.assert_array_equal(data.has_history(), data.histories(rows).behaviour.any(axis=1))


def test_other_wordings_of_an_intent_have_the_same_answers(tmp_path: Path) -> None:
    events = [
        Event(day(0), "a", "click", "red mugs", "u", split="train"),
        Event(day(1), "b", "click", "mug  RED", "u", split="train"),
        Event(day(2), "c", "click", "mug", "u", split="train"),
    ]
    data = training_data(tmp_path, events)
    known = data.are_positive(np.arange(1, 4), np.arange(4))
    assert known.tolist() == [[True, True, False, False]] * 2 + [[False, False, True, False]]


def test_low_relevance_is_never_what_was_clicked(small: TrainingData) -> None:
    assert small.low_relevance(1)[0].tolist() == [3]
    assert small.low_relevance(2)[0].tolist() == []
    query, none = np.array([1, 2, 0]), np.full(3, -1)
    drawn = HardNegatives(small).draw(query, none, 2, np.random.default_rng(0))
    assert drawn.items[0].tolist() == [3, 3]
    assert drawn.present.tolist() == [[True, True], [False, False], [False, False]]
    np.testing.assert_allclose(drawn.grades[0], [0.1, 0.1])


def test_labels_of_words_and_picture_together_are_not_of_the_words_alone(tmp_path: Path) -> None:
    events = [
        Event(day(0), "a", "click", "mug", "u", picture="p.png", split="train"),
        Event(day(0), "d", "impression", "mug", "u", picture="p.png", relevance=0.2, split="train"),
        Event(day(0), "c", "impression", "mug", "u", relevance=0.35, split="train"),
    ]
    data = training_data(tmp_path, events)
    assert data.low_relevance(1)[0].tolist() == [2]
    assert data.low_relevance(1, 0)[0].tolist() == [3]
    np.testing.assert_allclose(data.low_relevance(1)[1], [0.35])
