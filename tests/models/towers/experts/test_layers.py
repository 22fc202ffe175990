"""Layers that several parts share."""

import pytest
import torch

from models.towers.experts.layers import Attention, masked_mean


def test_attention_refuses_heads_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="no multiple"):
        Attention(10, 3)


def test_masked_mean() -> None:
    x = torch.tensor([[[1.0], [3.0], [100.0]], [[1.0], [1.0], [1.0]]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    torch.testing.assert_close(masked_mean(x, mask), torch.tensor([[2.0], [0.0]]))
