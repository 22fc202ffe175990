"""Val searches during training."""

from pathlib import Path

import pytest
import torch

from models.dataset.training_data import TrainingData
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
