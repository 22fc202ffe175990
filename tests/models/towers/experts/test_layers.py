"""Layers that several parts share."""

import pytest
import torch

from models.towers import preset
from models.towers.experts.config import BertShape
from models.towers.experts.layers import Attention, masked_mean
from models.towers.experts.light_bert import LightBert


def test_attention_refuses_heads_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="no multiple"):
        Attention(10, 3)


def test_masked_mean() -> None:
    x = torch.tensor([[[1.0], [3.0], [100.0]], [[1.0], [1.0], [1.0]]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    torch.testing.assert_close(masked_mean(x, mask), torch.tensor([[2.0], [0.0]]))


def test_an_empty_text_has_no_vector_from_light_bert() -> None:
    config = preset("tiny")
    expert = LightBert(config.experts, 50, 8, config.dimensions.expert_dim).eval()
    found = expert(torch.tensor([[2, 0, 0], [2, 7, 3]]))
    assert found[0].abs().max() == 0
    torch.testing.assert_close(found[1].norm(), torch.tensor(1.0))
    framed = config.experts.model_copy(update={"shape": BertShape()})
    expert = LightBert(framed, 50, 8, config.dimensions.expert_dim).eval()
    found = expert(torch.tensor([[2, 3, 0], [2, 7, 3]]))
    assert found[0].abs().max() == 0
    torch.testing.assert_close(found[1].norm(), torch.tensor(1.0))
