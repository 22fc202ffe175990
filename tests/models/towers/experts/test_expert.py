"""An expert from outside: trained, exported, in the axis of the graphs, in curves and switches."""

import csv
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from artifacts.bundle import Bundle
from models.export.bundle import export
from models.towers import Towers, preset
from models.towers.experts import EXPERTS, Expert, Sizes
from models.towers.experts.layers import unit
from models.training import train


class Colours(nn.Module):
    """``(picture [B, P], has_picture [B])`` -> unit ``[B, d]``; zeros where there is no picture."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.project = nn.Linear(sizes.feature_dim, sizes.expert_dim)

    def forward(self, picture: Tensor, has_picture: Tensor) -> Tensor:
        return unit(self.project(picture)) * has_picture[:, None]


COLOURS = Expert("colours", "Colours", build=Colours, inputs=("picture", "has_picture"))


def test_an_expert_says_what_it_speaks_for() -> None:
    assert {name: (e.reads_text, e.reads_picture) for name, e in EXPERTS.items()} == {
        "vbert": (True, True),
        "light_bert": (True, False),
        "ftatt": (True, False),
    }
    assert (COLOURS.reads_text, COLOURS.reads_picture) == (False, True)


def test_a_registered_expert_is_trained_exported_and_named(
    shop_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXPERTS, "colours", COLOURS)
    config = preset("tiny").with_overrides({"stage1.steps": 2, "stage2.steps": 2})
    train(shop_path, tmp_path / "run", config)
    with (tmp_path / "run" / "stage1.csv").open() as file:
        header = next(csv.reader(file))
    assert header[: 2 + len(EXPERTS)] == ["step", "loss", *EXPERTS]
    manifest = Bundle.load(export(tmp_path / "run", tmp_path / "bundles", "toy")).manifest
    assert manifest.dimensions.experts == (*list(EXPERTS)[:-1], "colours")


def test_a_dear_expert_that_is_switched_off_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXPERTS, "colours", COLOURS)
    towers = Towers(preset("tiny").with_overrides({"switches.colours": False}), 50)
    assert list(towers.query_experts.members()) == ["vbert", "light_bert", "ftatt"]
    ids = torch.ones(2, 3, dtype=torch.int64)
    out = towers.query_experts(ids, ids[:, :, None], torch.ones(2, 24), torch.ones(2))
    assert out.shape[1] == 4
    assert out[:, 3].abs().max() == 0
