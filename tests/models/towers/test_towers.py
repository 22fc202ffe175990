"""Both towers together."""

import torch

from models.towers import Config, Towers, preset
from models.towers.experts.layers import unit

CONFIG = preset("tiny")


D, E, P = CONFIG.dimensions.expert_dim, CONFIG.dimensions.embedding_dim, CONFIG.picture.feature_dim


def towers(config: Config = CONFIG) -> Towers:
    torch.manual_seed(0)
    return Towers(config, 100).eval()


def test_vbert_is_always_shared_and_text_experts_by_choice() -> None:
    shared, apart = towers(), towers(CONFIG.with_overrides({"experts.share_text_experts": False}))
    assert shared.item_experts is shared.query_experts
    assert apart.item_experts.vbert is apart.query_experts.vbert
    assert apart.item_experts.ftatt is not apart.query_experts.ftatt
    assert len(apart.expert_parameters()) == len({id(p) for p in apart.expert_parameters()})


def test_fusions_give_unit_embeddings_that_start_alike() -> None:
    both = towers()
    experts = unit(torch.randn(6, 3, D))
    none = torch.zeros(6, 1, 3, D)
    query, _ = both.query_fusion(experts, none, torch.zeros(6, 1, dtype=torch.int64), torch.zeros(6, 1))
    item = both.item_fusion(experts, torch.zeros(6, 3, D))
    assert query.shape == item.shape == (6, E)
    torch.testing.assert_close(query.norm(dim=-1), torch.ones(6))
    # Same experts on both sides: near neighbours before any training, thanks to the straight path.
    assert (query * item).sum(dim=-1).min() > 0.8
