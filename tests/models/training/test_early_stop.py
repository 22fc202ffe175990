"""Early stop on val Recall: what is kept, when it ends, and that it goes on."""

import csv
from pathlib import Path

import torch
from torch import nn

from models.towers import Config
from models.towers.training_config import ValidationConfig
from models.training import load_finished, train
from models.training.early_stop import EarlyStop


def weigh(module: nn.Linear, value: float) -> None:
    with torch.no_grad():
        module.weight.fill_(value)


def test_a_stage_ends_when_nothing_better_comes_and_keeps_the_best() -> None:
    values = iter([0.1, 0.3, 0.2, 0.3, 0.9])
    module = nn.Linear(1, 1, bias=False)
    watch = EarlyStop(ValidationConfig(every=10, patience=2), lambda: next(values))
    assert [step for step in range(1, 36) if watch.due(step, 35)] == [10, 20, 30, 35]
    for step in (10, 20, 30):
        weigh(module, float(step))
        watch.look(module)
        assert not watch.over
    again = EarlyStop(ValidationConfig(every=10, patience=2), lambda: next(values))
    again.resume(watch.state())
    weigh(module, 40.0)
    assert again.look(module) == 0.3
    assert again.over
    again.keep_best(module)
    assert module.weight.item() == 20.0


def test_training_stops_early_and_keeps_what_was_best(
    shop_path: Path, config: Config, run: Path, tmp_path: Path
) -> None:
    # A rate of 0: no look is better than the first, so that the stage ends after three.
    still = {"stage2.rate": 0, "validation.every": 2, "validation.patience": 2, "stage2.steps": 40}
    train(shop_path, tmp_path / "run", config.with_overrides(still))
    with (tmp_path / "run" / "stage2-val.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4", "6"]
    assert all(0 <= float(row["recall@100"]) <= 1 for row in rows)
    with (tmp_path / "run" / "stage2.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["0"]
    assert load_finished(tmp_path / "run").config.validation.every == 2
