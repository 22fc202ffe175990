"""The step that both stages share, with all that hard negatives can be: mined, dosed, columns, guided."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from models.dataset.training_data import TrainingData
from models.towers import Config, Towers
from models.training import train
from models.training.features import PictureFeatures, load_coclicks
from models.training.run import Run
from models.training.stage2 import _FusionStep

EVERYTHING = {
    "loss.mine_experts": True,
    "loss.hard_columns": True,
    "loss.hard_share": 0.3,
    "loss.hard_ranks": [1, 100],
    "loss.mined_filter": "margin",
    "loss.guide_margin": 0.0,
    "loss.false_negatives": "guide",
    "loss.hard_after": 0.25,
    "stage1.steps": 12,
    "stage2.steps": 12,
    "stage1.refresh_every": 4,
    "stage2.refresh_every": 4,
    "experts.dropout": 0.0,
    "fusion.dropout": 0.0,
}

GUIDE = {"loss.false_negatives": "guide", "loss.guide_margin": 0.0}


def _rows(file: Path) -> list[dict[str, float]]:
    with file.open() as stream:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]


@pytest.fixture(scope="module")
def hard(shop_path: Path, config: Config, run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("hybrid") / "run"
    train(shop_path, out, config.with_overrides({**EVERYTHING, "prefetch": 0}), donor=run)
    return out


def test_hard_negatives_have_the_share_that_is_asked_for(hard: Path) -> None:
    for stage in ("stage1", "stage2"):
        first, *_, last = _rows(hard / f"{stage}.csv")
        assert first["hnst_share"] == first["beta"] == first["hnst"] == 0
        assert last["hnst_share"] == pytest.approx(0.3, abs=1e-3)
        assert last["beta"] > 0
        host = _rows(hard / f"{stage}-host.csv")
        assert set(host[0]) == {"step", "drawn_ms", "waited_ms", "step_ms"}
    assert not list(hard.glob("hard-*"))


@pytest.mark.parametrize(
    "how", [{"prefetch": 3}, {"prefetch": 1, "stage1.cached_rows": 10, "stage2.cached_rows": 10}]
)
def test_how_a_batch_is_drawn_and_encoded_changes_nothing(
    shop_path: Path, config: Config, run: Path, hard: Path, tmp_path: Path, how: dict[str, object]
) -> None:
    train(shop_path, tmp_path / "run", config.with_overrides({**EVERYTHING, **how}), donor=run)
    for stage in ("stage1", "stage2"):
        one, other = _rows(hard / f"{stage}.csv"), _rows(tmp_path / "run" / f"{stage}.csv")
        if "stage1.cached_rows" not in how:
            assert one == other
            continue
        # Sums are made in another order.
        for left, right in zip(one, other, strict=True):
            for name in ("loss", "hnst_share"):
                assert right[name] == pytest.approx(left[name], rel=0.02, abs=0.01), (stage, name)


def test_what_the_guide_puts_nearer_than_the_positive_is_no_negative(run: Path, config: Config) -> None:
    data = TrainingData(run / "data", config.with_overrides(GUIDE))
    features = np.load(run / "item_features.npy")
    plain, views = (np.load(run / f"{n}.npy") for n in ("picture_features", "query_picture_features"))
    pictures, own = PictureFeatures(plain, views, data.query_pictures()), Run(data, run)
    towers = Towers(data.config, data.vocabulary)
    step = _FusionStep(own, towers, pictures, features, load_coclicks(own))
    drawn = step.draw(0).batch
    distinct, places = np.unique(drawn.columns, return_inverse=True)
    step.begin(0, hard_now=False)
    step.queries(drawn)
    masked = step._guided(drawn, distinct, torch.from_numpy(places)).numpy()
    queries = step.seen.numpy().mean(axis=1, keepdims=True)
    assert queries.shape[0] == len(drawn.items)
    said = np.einsum("bmd,nmd->bn", step.seen.numpy(), features[0, drawn.columns].astype(np.float32))
    asks = drawn.queries.has_text | (drawn.queries.has_picture > 0)
    expected = (said > said[np.arange(len(said)), np.arange(len(said))][:, None]) & asks[:, None]
    near = np.abs(said - said.diagonal()[:, None]) < 1e-4
    np.testing.assert_array_equal(masked[~near], expected[~near])
    assert masked.any()
    assert not masked[~asks].any()
