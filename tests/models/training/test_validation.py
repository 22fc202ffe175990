"""Val searches during training."""

from pathlib import Path

import pytest
import torch

from artifacts.bundle.text import normalise
from artifacts.shop.shop import Shop
from models.dataset.training_data import TrainingData
from models.evaluation.heldout import read_requests
from models.towers import Config
from models.training.validation import Validation


def test_recall_counts_requests_whose_item_is_near(run: Path, config: Config) -> None:
    few = config.with_overrides({"validation.requests": 12})
    found = Validation(TrainingData(run / "data", few))
    assert len(found.texts) == len(found.wanted) == 12
    assert all(found.texts)
    assert (found.histories.items >= 0).any()
    assert ((found.histories.items >= 0) == (found.histories.behaviour > 0)).all()
    assert (found.histories.age_days >= 0).all()
    items = torch.eye(250)
    queries = items[torch.from_numpy(found.wanted)]
    assert found.recall(queries, items, 1) == 1.0
    queries[:3] = -queries[:3]
    assert found.recall(queries, items, 1) == pytest.approx(0.75)


def test_histories_are_those_of_evaluation(run: Path, config: Config, shop: Shop) -> None:
    data = TrainingData(run / "data", config)
    found = Validation(data)
    rows = {item.id: row for row, item in enumerate(shop.items())}
    knobs = config.data
    requests = read_requests(
        shop,
        "val",
        depth=config.dimensions.history,
        held_out=knobs.held_out,
        same_item_days=knobs.same_item_days,
        same_search_minutes=knobs.same_search_minutes,
        one_slot=knobs.one_slot,
    )
    evaluated = {
        (normalise(r.event.query), rows[r.event.item], tuple(rows[b.item_id] for b in r.history))
        for r in requests
        if r.event.query
    }
    trained = {
        (text, wanted, tuple(items[items >= 0].tolist()))
        for text, wanted, items in zip(found.texts, found.wanted.tolist(), found.histories.items, strict=True)
    }
    assert len(trained) > 20
    assert trained <= evaluated
