"""What the teacher learns from."""

from pathlib import Path

import numpy as np
import pytest

from artifacts.shop.schema import Event
from models.dataset.training_data import TrainingData
from models.training.teacher import pairs
from models.training.teacher.pairs import PairSampler, held_out
from tests.support.training_data import day, training_data


def sampler(folder: Path, events: list[Event], monkeypatch: pytest.MonkeyPatch) -> PairSampler:
    monkeypatch.setattr(pairs, "_MEASURED", 0.0)
    return PairSampler(training_data(folder, events))


def drawn(found: PairSampler) -> set[tuple[int, int, float]]:
    every = [found.draw(8, np.random.default_rng(seed)) for seed in range(20)]
    return {
        (query, item, round(grade, 2))
        for step in every
        for query, item, grade in zip(
            step.query.tolist(), step.item.tolist(), step.grade.tolist(), strict=True
        )
    }


def test_clicks_labels_and_chance_make_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [
        Event(day(0), "a", "click", "mug", "u", split="train"),
        Event(day(1), "b", "impression", "mug", "u", relevance=0.8, split="train"),
        Event(day(1), "c", "impression", "mug", "u", relevance=0.3, split="train"),
        Event(day(2), "d", "click", "", "u", split="train"),
    ]
    # Item d, and c by chance, have the grade 0: nothing is known of them but c's label.
    expected = {(1, 0, 1.0), (1, 1, 0.8), (1, 2, 0.3), (1, 2, 0.0), (1, 3, 0.0)}
    assert drawn(sampler(tmp_path, events, monkeypatch)) == expected


def test_without_labels_queries_of_kin_give_near_misses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [
        Event(day(0), "a", "click", "red mug", "u", split="train"),
        Event(day(1), "b", "click", "blue mug", "u", split="train"),
        Event(day(2), "c", "click", "mug", "u", split="train"),
    ]
    found = sampler(tmp_path, events, monkeypatch)
    kin = {(row, found._kin(row, np.random.default_rng(seed))) for row in (1, 2, 3) for seed in range(40)}
    # "mug" says nothing that "red mug" does not say, so it tells nothing of it, nor the other way round.
    assert kin == {(1, 1), (1, None), (2, 0), (2, None), (3, None)}


def test_what_measures_is_never_drawn(run_data: TrainingData) -> None:
    found, held = PairSampler(run_data), held_out(run_data)
    assert 0.02 < held.mean() < 0.25
    good, bad = found.measured()
    assert held[good.query].all()
    assert len(good.query) == len(bad.query) > 0
    assert not any(held[found.draw(64, np.random.default_rng(seed)).query].any() for seed in range(10))
    # Wordings of one intent are on one side.
    for intent in np.unique(run_data.intent):
        assert len(set(held[run_data.intent == intent].tolist())) == 1
