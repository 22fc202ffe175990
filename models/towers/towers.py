"""Both towers: experts and fusion of the query side and of the item side."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.towers.config import Config
from models.towers.experts import EXPERTS
from models.towers.fusion import ItemFusion, PersonalFusion, QueryFusion, TasteFusion
from models.towers.lmoe import Experts, ExpertSet
from models.towers.single import SingleTransformer
from models.towers.taste import Taste


class Towers(nn.Module):
    """Query tower and item tower.

    With ``experts.share_text_experts`` both have one set of experts; otherwise the experts that are always
    shared are still one module.
    """

    def __init__(self, config: Config, vocabulary: int) -> None:
        super().__init__()
        self.query_experts: ExpertSet
        self.item_experts: ExpertSet
        if config.experts.kind == "single":
            self.query_experts = self.item_experts = SingleTransformer(config, vocabulary)
        else:
            experts = Experts(config, vocabulary)
            apart = not config.experts.share_text_experts
            self.query_experts = experts
            self.item_experts = Experts(config, vocabulary, experts) if apart else experts
        self.query_fusion: QueryFusion | PersonalFusion
        #: What both fusions know of tastes; None where the configuration has none.
        self.taste = Taste(config) if config.tastes else None
        if self.taste is not None:
            self.query_fusion = TasteFusion(config, self.taste)
        else:
            personal = config.user.kind == "residual"
            self.query_fusion = PersonalFusion(config) if personal else QueryFusion(config)
        self.item_fusion = ItemFusion(config, self.taste)
        straight = _straight(config)
        for fusion in (self.query_fusion, self.item_fusion):
            fusion.dssm.straight.weight.data.copy_(straight)

    @property
    def shared(self) -> bool:
        """Whether both towers have one set of experts."""
        return self.query_experts is self.item_experts

    def starting_from(self, start: str) -> list[nn.Module]:
        """Modules of the experts that can start from these weights (see `Expert.start`), each once."""
        both = [*self.query_experts.members().items(), *self.item_experts.members().items()]
        return list(dict.fromkeys(module for name, module in both if EXPERTS[name].start == start))

    def expert_parameters(self) -> list[nn.Parameter]:
        """Parameters of the experts, each once."""
        return list(nn.ModuleList([self.query_experts, self.item_experts]).parameters())

    def fusion_parameters(self) -> list[nn.Parameter]:
        """Parameters of portrait, gate and DSSM of both towers; tastes have a stage of their own."""
        both = [*self.query_fusion.parameters(), *self.item_fusion.parameters()]
        apart = set() if self.taste is None else set(self.taste.parameters())
        return [parameter for parameter in both if parameter not in apart]


def _straight(config: Config) -> Tensor:
    """The straight path's start ``[e, Md]``: orthogonal, and none of its width spent on a silent expert."""
    dims = config.dimensions
    speaking = [config.experts.kind == "single" or config.switches.expert(name) for name in dims.experts]
    if not any(speaking):
        speaking = [True] * len(speaking)
    columns = torch.tensor(speaking).repeat_interleave(dims.expert_dim)
    weight = torch.zeros(config.words_dim, len(columns))
    weight[:, columns] = nn.init.orthogonal_(torch.empty(config.words_dim, int(columns.sum())))
    return weight
