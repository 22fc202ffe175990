"""Fusion of experts and history."""

import pytest
import torch

from models.towers import Config, Towers, preset
from models.towers.experts.layers import unit
from models.towers.fusion import QueryFusion

CONFIG = preset("tiny")


D, E, P = CONFIG.dimensions.expert_dim, CONFIG.dimensions.embedding_dim, CONFIG.picture.feature_dim


def towers(config: Config = CONFIG) -> Towers:
    torch.manual_seed(0)
    return Towers(config, 100).eval()


def portraits(rows: int, depth: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    behaviour = torch.randint(1, 4, (rows, depth))
    return unit(torch.randn(rows, depth, 3, D)), behaviour, torch.rand(rows, depth) * 30


def test_gradient_reaches_what_reads_the_history() -> None:
    fusion = QueryFusion(CONFIG)
    experts = unit(torch.randn(4, 3, D))
    features, behaviour, age = portraits(4, 3)
    target = unit(torch.randn(4, E))
    embedding, _ = fusion(experts, features, behaviour, age)
    (embedding * target).sum().backward()
    assert fusion.history.weight.grad is not None
    assert fusion.history.weight.grad.abs().sum() > 0
    with torch.no_grad():
        fusion.history.weight.normal_(std=0.1)
    embedding, _ = fusion(experts, features, behaviour, age)
    (embedding * target).sum().backward()
    assert fusion.portrait.taste_bias.grad is not None
    assert fusion.portrait.taste_bias.grad.abs().sum() > 0


def test_empty_slots_and_their_number_change_nothing() -> None:
    fusion = QueryFusion(CONFIG).eval()
    experts = unit(torch.randn(2, 3, D))
    features, behaviour, age = portraits(2, 3)
    wide = torch.zeros(2, 7, 3, D)
    wide[:, :3] = features
    wide[:, 3:] = 9.0  # what stands in an empty slot is not read
    padded = torch.zeros(2, 7, dtype=torch.int64)
    padded[:, :3] = behaviour
    ages = torch.zeros(2, 7)
    ages[:, :3] = age
    embedding, gate = fusion(experts, features, behaviour, age)
    other, other_gate = fusion(experts, wide, padded, ages)
    torch.testing.assert_close(embedding, other)
    torch.testing.assert_close(gate, other_gate)


@pytest.mark.parametrize("switch", ["history", "gate", "coclick"])
def test_switches_of_the_fusion(switch: str) -> None:
    off = towers(CONFIG.with_overrides({f"switches.{switch}": False}))
    experts = unit(torch.randn(2, 3, D))
    features, behaviour, age = portraits(2, 3)
    embedding, gate = off.query_fusion(experts, features, behaviour, age)
    if switch == "history":
        bare, _ = off.query_fusion(experts, features, torch.zeros_like(behaviour), age)
        torch.testing.assert_close(embedding, bare)
    elif switch == "gate":
        torch.testing.assert_close(gate, torch.full((2, 3), 1 / 3))
    else:
        torch.testing.assert_close(
            off.item_fusion(experts, experts), off.item_fusion(experts, torch.zeros_like(experts))
        )
