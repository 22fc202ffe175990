"""Both towers: experts and fusion of the query side and of the item side."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.towers.config import Config
from models.towers.experts.lmoe import Experts
from models.towers.experts.single import SingleTransformer
from models.towers.fusion import ItemFusion, QueryFusion


class Towers(nn.Module):
    """Query and item tower. With shared text experts both sides are one `Experts`; VBert always is shared."""

    def __init__(self, config: Config, vocabulary: int) -> None:
        super().__init__()
        single = config.experts.kind == "single"
        self.query_experts = SingleTransformer(config, vocabulary) if single else Experts(config, vocabulary)
        self.shared = config.experts.share_text_experts or single
        self.item_experts = (
            self.query_experts if self.shared else Experts(config, vocabulary, self.query_experts.vbert)
        )
        self.query_fusion = QueryFusion(config)
        self.item_fusion = ItemFusion(config)
        straight = _straight(config)
        for fusion in (self.query_fusion, self.item_fusion):
            fusion.dssm.straight.weight.data.copy_(straight)

    def expert_parameters(self) -> list[nn.Parameter]:
        """Parameters of the experts, each once."""
        both = nn.ModuleList([self.query_experts, self.item_experts])
        return list(both.parameters())

    def fusion_parameters(self) -> list[nn.Parameter]:
        """Parameters of portrait, gate and DSSM of both towers."""
        return [*self.query_fusion.parameters(), *self.item_fusion.parameters()]


def _straight(config: Config) -> Tensor:
    """The straight path's start ``[e, 3d]``: orthogonal, and none of its width spent on a silent expert."""
    dims, on = config.dimensions, config.switches
    speaking = [on.vbert, on.light_bert, on.ftatt] if config.experts.kind == "lmoe" else [True] * 3
    if not any(speaking):
        speaking = [True] * 3
    columns = torch.tensor(speaking).repeat_interleave(dims.expert_dim)
    weight = torch.zeros(dims.embedding_dim, len(columns))
    weight[:, columns] = nn.init.orthogonal_(torch.empty(dims.embedding_dim, int(columns.sum())))
    return weight


def expert_scores(queries: Tensor, items: Tensor) -> Tensor:
    """Cosines by expert: ``[B, 3, d]`` and ``[N, 3, d]`` -> ``[3, B, N]``."""
    return torch.einsum("bmd,nmd->mbn", queries, items)
