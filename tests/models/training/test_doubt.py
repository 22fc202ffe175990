"""Labels of low relevance that look like answers are left out."""

from pathlib import Path

import numpy as np
import pytest

from artifacts.shop.schema import Event
from models.dataset.training_data import TrainingData
from models.towers import Config
from models.training import train
from models.training.doubt import doubts, judged_labels
from models.training.hard import HardNegatives
from tests.support.training_data import changed, day, training_data

#: What experts say of the items a to d: c is what a is, d is neither; b lies between.
ITEMS = np.array([[1.0, 0.0], [0.6, 0.8], [0.9, 0.44], [0.0, 1.0]], np.float32)


def _queries(texts: list[str]) -> np.ndarray:
    return np.tile(np.array([1.0, 0.0], np.float32), (len(texts), 1))


def _low(item: str, query: str, picture: str | None = None) -> Event:
    return Event(day(3), item, "impression", query, "u", picture=picture, relevance=0.1, split="train")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    """Of "mug" c and d are called low, of "cup" b and d; a was clicked for both. "red cup" has a picture."""
    clicks = [
        Event(day(0), "a", "click", "mug", "u", split="train"),
        Event(day(1), "a", "click", "cup", "u", split="train"),
        Event(day(2), "a", "click", "red cup", "u", picture="p.png", split="train"),
    ]
    labels = [_low("c", "mug"), _low("d", "mug"), _low("b", "cup"), _low("d", "cup")]
    return training_data(
        tmp_path_factory.mktemp("labelled"), [*clicks, *labels, _low("c", "red cup", "p.png")]
    )


def test_doubted_is_what_lies_near_the_query_and_near_what_was_clicked(labelled: TrainingData) -> None:
    asked, item = labelled.low_by_words()
    words = asked >= 0
    assert words.sum() == 4
    assert (~words).sum() == 1
    found = doubts(labelled, asked[words], item[words], _queries, lambda rows: ITEMS[rows])
    by_item = dict(zip(zip(asked[words].tolist(), item[words].tolist(), strict=True), found, strict=True))
    mug, cup = labelled.queries.index("mug"), labelled.queries.index("cup")
    assert by_item[mug, 2] == max(found)
    assert by_item[cup, 1] > by_item[cup, 3]
    assert by_item[mug, 2] > by_item[cup, 1]


def test_a_share_is_kept_and_labels_for_photos_all_are(labelled: TrainingData, tmp_path: Path) -> None:
    data, path = changed(labelled, {"loss.labels_kept": 0.5}), tmp_path / "labels.npy"
    kept = judged_labels(path, data, _queries, lambda rows: ITEMS[rows])
    asked, item = data.low_by_words()
    assert kept[asked < 0].all()
    assert item[(asked >= 0) & kept].tolist() == [3, 3]
    # A run that goes on reads what was judged, whatever its experts say by now.
    again = judged_labels(path, data, _queries, lambda rows: ITEMS[rows][:, ::-1])
    np.testing.assert_array_equal(again, kept)


def test_a_query_that_has_one_label_and_no_click_is_neither_here_nor_there(labelled: TrainingData) -> None:
    mug, cup = labelled.queries.index("mug"), labelled.queries.index("cup")
    asked, item = np.array(sorted([mug, mug, cup])), np.array([1, 2, 3])
    found = doubts(labelled, asked, item, _queries, lambda rows: ITEMS[rows])
    assert np.isfinite(found).all()
    assert ((found > 0) & (found <= 2)).all()


@pytest.mark.parametrize("items", [[2, 3], [3, 2]])
def test_of_labels_that_are_the_only_ones_of_their_queries_the_answers_tell(
    labelled: TrainingData, items: list[int]
) -> None:
    asked = np.array(sorted(labelled.queries.index(query) for query in ("mug", "cup")))
    found = doubts(labelled, asked, np.array(items), _queries, lambda rows: ITEMS[rows])
    # c is like what was clicked for both, d is not, and neither is nearer than other labels of its query.
    assert found[items.index(2)] > found[items.index(3)]


def test_what_is_left_out_is_never_drawn(labelled: TrainingData) -> None:
    mug = labelled.queries.index("mug")
    asked, item = labelled.low_by_words()
    for kept, drawn_items in (((asked != mug) | (item != 2), {3}), (asked != mug, set())):
        hard = HardNegatives(labelled)
        hard.keep(kept)
        drawn = hard.draw(np.array([mug]), np.array([-1]), 16, np.random.default_rng(0))
        assert set(drawn.items[drawn.present].tolist()) == drawn_items


def test_each_stage_judges_by_its_experts(shop_path: Path, config: Config, tmp_path: Path) -> None:
    settings = {"loss.labels_kept": 0.5, "loss.mined": False, "stage1.steps": 4, "stage2.steps": 4}
    train(shop_path, tmp_path / "run", config.with_overrides({**settings, "loss.hard_after": 0.0}))
    data = TrainingData(tmp_path / "run" / "data", config)
    words = data.low_by_words()[0] >= 0
    assert words.any()
    for stage in ("stage1", "stage2"):
        kept = np.load(tmp_path / "run" / f"labels-{stage}.npy")
        assert kept[words].mean() == pytest.approx(0.5, abs=0.01)
        assert kept[~words].all()
    train(shop_path, tmp_path / "plain", config.with_overrides({"stage1.steps": 2, "stage2.steps": 2}))
    assert not list((tmp_path / "plain").glob("labels-*"))
