"""A run with a teacher: trained, used, read back, resumed; and what is refused."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from artifacts.shop.shop import Shop
from models.dataset.training_data import TrainingData
from models.towers import Config
from models.towers.config import ConfigError
from models.towers.presets import TEACHER
from models.training import train
from models.training.teacher import TeacherError, load_teacher, taught_answers

KNOBS = {**TEACHER, "teacher.steps": 30, "teacher.hidden": 16, "teacher.layers": 1, "stage2.refresh_every": 5}


@pytest.fixture(scope="module")
def taught(shop_path: Path, config: Config, run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("teacher") / "run"
    knobs = {**KNOBS, "loss.distil": 1.0, "loss.hard_share": 0.3}
    train(shop_path, out, config.with_overrides(knobs), donor=run)
    return out


def test_a_run_trains_its_teacher_and_uses_it(taught: Path) -> None:
    figures = json.loads((taught / "teacher.json").read_text())
    assert 0 <= figures["auc"] <= 1
    assert figures["pairs"] > 0
    with (taught / "stage2.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    assert float(last["distil"]) > 0
    assert float(last["hnst_share"]) == pytest.approx(0.3, abs=0.01)
    assert np.load(taught / "teacher_answers.npy").ndim == 1
    # What was mined for steps that are over is gone with the stage.
    assert not list(taught.glob("hard-*.npz"))


def test_it_is_read_back(taught: Path, shop: Shop) -> None:
    teacher = load_teacher(taught, shop.fingerprint())
    data = TrainingData(taught / "data", teacher._data.config)
    rows, items = np.array([1, 2, 1, 0]), np.array([5, 6, 5, 7])
    grades = teacher.grade(rows, items)
    assert grades.dtype == np.float32
    assert ((grades > 0) & (grades < 1)).all()
    assert grades[0] == pytest.approx(grades[2])
    texts = [data.queries[row] for row in (2, 1)]
    np.testing.assert_allclose(teacher.grade_texts(texts, np.array([1, 0]), items[:2]), grades[:2], atol=1e-5)
    assert teacher.grade(rows[:0], items[:0]).shape == (0,)


def test_what_it_grades_as_relevant_is_an_answer(taught: Path, tmp_path: Path) -> None:
    config = Config.read(json.loads((taught / "config.json").read_text())["config"])
    data = TrainingData(taught / "data", config)
    row = int(np.flatnonzero(data.intent > 0)[0])
    queries, items = np.ones((len(data.queries), 1), np.float32), np.zeros((data.items, 1), np.float32)
    items[3] = 1.0
    asked: list[int] = []

    def grader(rows: np.ndarray, found: np.ndarray) -> np.ndarray:
        asked.append(len(rows))
        return np.where((rows == row) & (found == 3), 0.9, 0.1).astype(np.float32)

    for _ in range(2):
        known = taught_answers(tmp_path / "answers.npy", data, lambda: (queries, items), grader)
        assert known.of(int(data.intent[row])).tolist() == [3]
    # Graded once: the first hundred of every query that says something.
    assert sum(asked) == 100 * (data.intent > 0).sum()


def test_a_teacher_of_another_shop_and_none_are_refused(run: Path, taught: Path, shop: Shop) -> None:
    with pytest.raises(TeacherError, match="mrse train --teacher"):
        load_teacher(run, shop.fingerprint())
    with pytest.raises(TeacherError, match="another shop"):
        load_teacher(taught, "0" * 16)


@pytest.mark.parametrize(
    ("key", "value"),
    [("loss.mined_filter", "teacher"), ("loss.false_negatives", "teacher"), ("loss.distil", 1.0)],
)
def test_without_a_teacher_nothing_takes_its_word(config: Config, key: str, value: object) -> None:
    with pytest.raises(ConfigError, match="teacher"):
        config.with_overrides({key: value})


def test_a_second_call_trains_nothing(shop_path: Path, taught: Path) -> None:
    config = Config.read(json.loads((taught / "config.json").read_text())["config"])
    before = {name: (taught / name).stat().st_mtime_ns for name in ("teacher.pt", "stage2.pt")}
    train(shop_path, taught, config)
    assert before == {name: (taught / name).stat().st_mtime_ns for name in before}
