"""What is known to answer the rows of a batch."""

from pathlib import Path

import numpy as np
import pytest

from artifacts.shop.schema import Event
from models.dataset.training_data import TrainingData
from models.training.answers import KnownAnswers
from models.training.batches import Wanted
from tests.support.training_data import day, training_data

EVERY = np.arange(4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    events = [
        Event(day(0), "a", "click", "red mug", "u", split="train"),
        Event(day(1), "b", "click", "mugs red", "u", split="train"),
        Event(day(2), "c", "click", "", "u", picture="p.png", split="train"),
    ]
    return training_data(tmp_path_factory.mktemp("answers"), events)


def _wanted(query: int, picture: int = -1, title: str | None = None) -> Wanted:
    events = np.array([-1 if title else 0])
    return Wanted(events, np.array([query]), np.array([picture]), {} if title is None else {0: title})


def test_what_was_clicked_for_another_wording_answers(data: TrainingData) -> None:
    for query in (1, 2):
        assert KnownAnswers(data).among(_wanted(query), EVERY).tolist() == [[True, True, False, False]]


def test_what_was_clicked_for_the_picture_answers(data: TrainingData) -> None:
    known = KnownAnswers(data)
    assert known.among(_wanted(0, 0), EVERY).tolist() == [[False, False, True, False]]
    assert known.among(_wanted(1, 0), EVERY).tolist() == [[True, True, True, False]]


def test_titles_with_the_words_of_a_title_answer_it(data: TrainingData) -> None:
    known = KnownAnswers(data)
    assert known.among(_wanted(0, title="title"), EVERY).tolist() == [[True] * 4]
    assert known.among(_wanted(0, title="title c"), np.array([2, 3, 2])).tolist() == [[True, False, True]]
    # Words of a title that are a query too.
    assert known.among(_wanted(0, title="red mug"), EVERY).tolist() == [[True, True, False, False]]


def test_nothing_is_known_of_nothing(data: TrainingData) -> None:
    assert not KnownAnswers(data).among(_wanted(0), EVERY).any()
    assert not KnownAnswers(data).among(_wanted(0, title=""), EVERY).any()


def test_intents_without_words_have_no_answers(tmp_path: Path) -> None:
    signs = [Event(day(0), "a", "click", "+++", "u", split="train"), Event(day(0), "b", "click", "&", "u")]
    assert not training_data(tmp_path, signs).are_positive(np.array([1]), EVERY).any()
