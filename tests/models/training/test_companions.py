"""What co-clicks teach FtAtt: the draws, the loss by hand, and that training on it brings items together."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from artifacts.shop.shop import Shop
from models.dataset.coclick import CoClicks
from models.towers import Config
from models.training import train
from models.training.companions import Companions, companion_loss

#: Item 0 goes with 1 (0.5) and 2 (0.25), 1 with 0, 2 with nothing, 3 with 0 and 2.
COCLICKS = CoClicks(
    np.array([0, 2, 3, 3, 5]),
    np.array([1, 2, 0, 2, 0]),
    np.array([0.5, 0.25, 0.5, 0.125, 0.75], dtype=np.float32),
    np.ones(5, dtype=np.int64),
    np.ones(4, dtype=np.int64),
)


def test_weights_are_those_of_the_pairs() -> None:
    found = Companions(COCLICKS).weights(np.array([0, 3]), np.array([0, 1, 2, 3]))
    assert found.tolist() == [[0, 0.5, 0.25, 0], [0.75, 0, 0.125, 0]]


def test_draws_have_companions_among_the_columns() -> None:
    companions = Companions(COCLICKS)
    for seed in range(20):
        rows, columns = companions.draw(2, np.random.default_rng(seed))
        assert len(rows) == len(set(rows.tolist())) == 2
        assert 2 not in rows
        assert set(rows.tolist()) <= set(columns.tolist())
        assert columns.tolist() == sorted(set(columns.tolist()))
        assert (companions.weights(rows, columns).sum(axis=1) > 0).all()
    assert len(companions.draw(10, np.random.default_rng(0))[0]) == 3


def test_loss_by_hand() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    columns = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    own = torch.tensor([[True, False, False], [False, False, True]])
    weights = torch.tensor([[9.0, 3.0, 1.0], [0.0, 0.0, 5.0]])
    # Row 0 without itself: cosines 0.6 and 0, weights 3/4 and 1/4. Row 1 has no companion but itself.
    total = math.log(math.exp(1.2) + math.exp(0.0))
    expected = 0.75 * (total - 1.2) + 0.25 * total
    got = companion_loss(rows, columns, own, weights, scale=2.0)
    assert float(got) == pytest.approx(expected, rel=1e-5)


def test_training_learns_from_companions(shop_path: Path, run: Path, config: Config, tmp_path: Path) -> None:
    train(
        shop_path, tmp_path / "run", config.with_overrides({"data.companion_share": 4, "stage1.rate": 1e-2})
    )
    with np.load(run / "coclicks.npz") as stored:
        companions = Companions(CoClicks(**stored))

    def loss(folder: Path) -> float:
        ftatt = torch.from_numpy(np.load(folder / "item_features.npy")[0, :, 2].astype(np.float32))
        every = np.arange(len(ftatt))
        weights = torch.from_numpy(companions.weights(every, every))
        own = torch.eye(len(ftatt), dtype=torch.bool)
        return float(companion_loss(ftatt, ftatt, own, weights, scale=10.0))

    assert loss(tmp_path / "run") < loss(run)


def test_one_transformer_has_no_ftatt_to_teach(shop: Shop, config: Config, tmp_path: Path) -> None:
    single = config.with_overrides({"data.companion_share": 1, "experts.kind": "single"})
    with pytest.raises(ValueError, match="companion_share"):
        train(shop.path, tmp_path / "run", single)
