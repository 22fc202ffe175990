"""The experts side by side (LMoE): what the ``query_experts`` and ``item_experts`` graphs compute."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.towers.config import Config
from models.towers.experts import EXPERTS, Sizes
from models.towers.experts.silent import Silent


class ExpertSet(nn.Module):
    """``(input_ids [B, L], ngram_ids [B, W, G], picture [B, P], has_picture [B])`` -> ``[B, M, d]``.

    M is the number of experts in ``dimensions.experts``, in that order.
    """

    #: Names of experts that do not run and give zeros; only training sets it.
    resting: frozenset[str] = frozenset()

    def members(self) -> dict[str, nn.Module]:
        """The experts' modules by name; those that are switched off and not built are left out."""
        return {}


class Experts(ExpertSet):
    """The experts of the configuration; each gives unit vectors, or zeros where it is switched off.

    Those that are always shared are the modules of ``other``, the other tower's.
    """

    def __init__(self, config: Config, vocabulary: int, other: Experts | None = None) -> None:
        super().__init__()
        dims, spec = config.dimensions, config.text
        sizes = Sizes(
            config=config.experts,
            vocabulary=vocabulary,
            positions=max(spec.max_query_tokens, spec.max_item_tokens),
            ngram_buckets=spec.ngram_buckets,
            feature_dim=config.picture.feature_dim,
            expert_dim=dims.expert_dim,
        )
        self.use_picture = config.switches.picture
        self.experts = [EXPERTS[name] for name in dims.experts]
        self.on = {name: config.switches.expert(name) for name in dims.experts}
        for expert in self.experts:
            if other is not None and expert.shared:
                module = other.get_submodule(expert.name)
            elif self.on[expert.name] or expert.built_when_off:
                module = expert.build(sizes)
            else:
                module = Silent(dims.expert_dim)
            self.add_module(expert.name, module)
        self.silent = Silent(dims.expert_dim)

    def members(self) -> dict[str, nn.Module]:
        found = {expert.name: self.get_submodule(expert.name) for expert in self.experts}
        return {name: module for name, module in found.items() if not isinstance(module, Silent)}

    def forward(self, input_ids: Tensor, ngram_ids: Tensor, picture: Tensor, has_picture: Tensor) -> Tensor:
        has = has_picture if self.use_picture else torch.zeros_like(has_picture)
        inputs = {"input_ids": input_ids, "ngram_ids": ngram_ids, "picture": picture, "has_picture": has}
        outputs = []
        for expert in self.experts:
            module = getattr(self, "silent" if expert.name in self.resting else expert.name)
            outputs.append(module(*(inputs[name] for name in expert.inputs)) * float(self.on[expert.name]))
        return torch.stack(outputs, dim=1)
