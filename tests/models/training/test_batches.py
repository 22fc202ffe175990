"""Batches of both stages."""

from pathlib import Path

import numpy as np
import pytest

from artifacts.actions import ACTIONS
from models.dataset.training_data import TrainingData
from models.towers import Config
from models.training.answers import KnownAnswers
from models.training.batches import Sampler
from models.training.features import PictureFeatures


@pytest.fixture(scope="module")
def data(run: Path, config: Config) -> TrainingData:
    return TrainingData(run / "data", config)


@pytest.fixture(scope="module")
def pictures(run: Path, data: TrainingData) -> PictureFeatures:
    asked = np.unique(np.asarray(data.picture)[np.asarray(data.picture) >= 0]).astype(np.int64)
    plain, views = (np.load(run / f"{n}.npy") for n in ("picture_features", "query_picture_features"))
    return PictureFeatures(plain, views, asked)


def test_batches_hold_every_kind_of_query(data: TrainingData, pictures: PictureFeatures) -> None:
    sampler = Sampler(data, pictures, data.config.stage2, browse=True)
    steps = [sampler.draw(64, np.random.default_rng(seed)) for seed in range(20)]
    text = np.concatenate([s.queries.has_text for s in steps])
    picture = np.concatenate([s.queries.has_picture for s in steps]) > 0
    behaved = np.concatenate([s.histories.behaviour.any(axis=1) for s in steps if s.histories])
    for kind in (text & ~picture, picture & ~text, ~text & ~picture & behaved, text & behaved):
        assert kind.any()
    # Rows that say nothing are rare and do not count; none became one by being emptied.
    said = np.concatenate([s.says for s in steps])
    np.testing.assert_array_equal(said, text | picture | behaved)
    assert said.mean() > 0.95
    assert max(int(s.histories.behaviour.max()) for s in steps if s.histories) <= len(ACTIONS.behaviours)


def test_stage1_has_no_browsing(data: TrainingData, pictures: PictureFeatures) -> None:
    step = Sampler(data, pictures, data.config.stage1, browse=False).draw(64, np.random.default_rng(0))
    assert step.histories is None
    assert (step.queries.has_text | (step.queries.has_picture > 0)).all()
    assert len(step.items) == 64
    assert len(step.uniform) == 32


def test_a_rank_reads_its_own_rows_of_the_batch_of_all(data: TrainingData, pictures: PictureFeatures) -> None:
    sampler = Sampler(data, pictures, data.config.stage2, browse=True)
    whole = sampler.draw(64, np.random.default_rng(5))
    own = np.array([3, 17, 40, 41, 63, 63])
    part = sampler.draw(64, np.random.default_rng(5), own)
    assert whole.histories is not None
    assert part.histories is not None
    for name in ("items", "uniform", "says"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name))
    for name in ("query", "shown", "has_text", "has_picture"):
        np.testing.assert_array_equal(getattr(part.queries, name), getattr(whole.queries, name))
    assert part.wanted.titles == whole.wanted.titles
    width = part.queries.text.input_ids.shape[1]
    np.testing.assert_array_equal(part.queries.text.input_ids, whole.queries.text.input_ids[own][:, :width])
    assert not whole.queries.text.input_ids[own][:, width:].any()
    np.testing.assert_array_equal(part.queries.picture, whole.queries.picture[own])
    np.testing.assert_array_equal(part.histories.items, whole.histories.items[own])
    np.testing.assert_array_equal(part.histories.age_days, whole.histories.age_days[own])


def test_own_pictures_are_asked_with_and_their_items_are_wanted(
    run: Path, data: TrainingData, pictures: PictureFeatures
) -> None:
    config = data.config.with_overrides({"data.picture_share": 0.25})
    data = TrainingData(run / "data", config)
    drawn = Sampler(data, pictures, config.stage2, browse=True).draw(64, np.random.default_rng(0))
    own = slice(48, 64)
    assert (drawn.wanted.events[own] == -1).all()
    assert not drawn.queries.has_text[own].any()
    assert (drawn.queries.has_picture[own] == 1).all()
    np.testing.assert_array_equal(drawn.queries.shown[own], data.item_picture[drawn.items[own]])
    assert not set(range(48, 64)) & drawn.wanted.titles.keys()
    assert drawn.wanted.titles
    # Whatever shares the picture answers it too.
    known = KnownAnswers(data).among(drawn.wanted, np.arange(data.items))
    for row in range(48, 64):
        same = data.item_picture == data.item_picture[drawn.items[row]]
        assert known[row][same].all()
    features = pictures.for_queries(drawn.queries.shown, np.zeros(64, dtype=np.int64))
    plain = pictures.for_items(drawn.queries.shown)
    asked = np.isin(drawn.queries.shown, data.query_pictures())
    np.testing.assert_array_equal(features[~asked], plain[~asked])


def test_no_pictures_no_own_pictures(run: Path, data: TrainingData, pictures: PictureFeatures) -> None:
    config = data.config.with_overrides({"switches.picture": False, "data.picture_share": 0.5})
    blind = TrainingData(run / "data", config)
    drawn = Sampler(blind, pictures, config.stage1, browse=False).draw(64, np.random.default_rng(0))
    assert (drawn.wanted.events >= 0).sum() == 64 - round(64 * config.data.title_share)


def test_stage2_draws_as_many_uniform_items_as_told(
    run: Path, data: TrainingData, pictures: PictureFeatures
) -> None:
    config = data.config.with_overrides({"stage2.uniform": 3.0})
    more = TrainingData(run / "data", config)
    step = Sampler(more, pictures, more.config.stage2, browse=True).draw(64, np.random.default_rng(0))
    assert len(step.uniform) == 96
