"""The gate."""

import torch

from models.towers import preset
from models.towers.gate import Gate

CONFIG = preset("tiny")


D, E, P = CONFIG.dimensions.expert_dim, CONFIG.dimensions.embedding_dim, CONFIG.picture.feature_dim


def test_gate_sums_to_one_and_starts_even() -> None:
    weights = Gate(3, D, 8)(torch.randn(5, 3, D), torch.randn(5, 3, D))
    torch.testing.assert_close(weights, torch.full((5, 3), 1 / 3))
