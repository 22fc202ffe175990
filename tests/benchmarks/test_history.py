"""What `benchmarks.history` claims of its figures, and the reader that it measures by."""

from pathlib import Path

import numpy as np
import pytest

from artifacts.shop.shop import Shop
from benchmarks import history, history_reader
from common.progress import silent
from models.dataset.prepare import prepare
from models.dataset.training_data import TrainingData
from models.evaluation.heldout import read_requests
from models.synthetic import make_shop
from models.towers import preset


def test_half_of_the_reader_and_no_loss_where_a_taste_says_nothing() -> None:
    figures = {m: {"was": 0.1, "value": 0.02, "low": 0.01, "high": 0.03} for m in history.MEASURES}
    by_slice = dict.fromkeys(history.SLICES, figures)
    pairs = {f"{ours} over {theirs}": by_slice for ours, theirs in history.PAIRS}
    told = {"large": pairs, "small": pairs}
    found = history.claims(told)
    assert all(claim.holds for claim in found)
    assert [claim.value for claim in found[:3]] == [1.0, 1.0, 1.0]
    worse = {m: {**figures[m], "value": -0.002, "low": -0.003, "high": -0.001} for m in history.MEASURES}
    own = f"{history.HISTORY} over {history.WITHOUT}"
    harmed = {**told, "small": {own: {**by_slice, "all": worse}}}
    missed = [claim.name for claim in history.claims(harmed) if not claim.holds]
    assert len(missed) == 4
    assert all(name.startswith("4,000 items, all") for name in missed)


def test_the_reader_learns_that_users_choose_what_they_chose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_shop(tmp_path / "shop", items=250, seed=3)
    config = preset("tiny").with_overrides({"dimensions.history": 20})
    shop = Shop.open(tmp_path / "shop")
    prepare(shop, tmp_path / "data", config, silent)
    monkeypatch.setattr(history_reader, "_STEPS", 60)
    reader = history_reader.Reader(shop.path, TrainingData(tmp_path / "data", config))
    rows = {item.id: row for row, item in enumerate(shop.items())}
    requests = read_requests(shop, "val", depth=20, held_out=0.05, same_item_days=1.0)[:50]
    users = reader.users(requests, rows)
    assert users.shape == (50, reader.items.shape[1])
    told = np.array([bool(request.history) for request in requests])
    assert not users[~told].any()
    # Colours are chosen again: of what a user had, more comes of it than of what others have.
    gains = users @ reader.items.T
    past = [[rows[b.item_id] for b in request.history] for request in requests]
    had = [gains[n, own].mean() - gains[n].mean() for n, own in enumerate(past) if own]
    assert np.mean(had) > 0.05
