"""The three experts side by side: what the ``query_experts`` and ``item_experts`` graphs compute."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.towers.config import Config
from models.towers.experts.ftatt import FtAtt
from models.towers.experts.light_bert import LightBert
from models.towers.experts.silent import Silent
from models.towers.experts.vbert import VBert


class Experts(nn.Module):
    """``(input_ids [B, L], ngram_ids [B, W, G], picture [B, P], has_picture [B])`` -> ``[B, 3, d]``.

    Order: vbert, light_bert, ftatt; each of unit length, or zeros where it is switched off.
    """

    #: Experts that are not asked for now and give zeros; only training sets it.
    resting: frozenset[str] = frozenset()

    def __init__(self, config: Config, vocabulary: int, vbert: VBert | Silent | None = None) -> None:
        super().__init__()
        dims, spec = config.dimensions, config.text
        positions = max(spec.max_query_tokens, spec.max_item_tokens)
        self.switches = config.switches
        # The dearest of the three is not even built where it is switched off.
        if vbert is None and not self.switches.vbert:
            vbert = Silent(dims.expert_dim)
        self.vbert = vbert or VBert(
            config.experts, vocabulary, positions, config.picture.feature_dim, dims.expert_dim
        )
        self.light_bert = LightBert(config.experts, vocabulary, positions, dims.expert_dim)
        self.ftatt = FtAtt(spec.ngram_buckets, dims.expert_dim, config.experts.dropout)
        self.silent = Silent(dims.expert_dim)

    def forward(self, input_ids: Tensor, ngram_ids: Tensor, picture: Tensor, has_picture: Tensor) -> Tensor:
        on = self.switches
        has = has_picture if on.picture else torch.zeros_like(has_picture)
        outputs = [
            self._of("vbert")(input_ids, picture, has) * float(on.vbert),
            self._of("light_bert")(input_ids) * float(on.light_bert),
            self._of("ftatt")(ngram_ids) * float(on.ftatt),
        ]
        return torch.stack(outputs, dim=1)

    def _of(self, name: str) -> nn.Module:
        expert: nn.Module = getattr(self, "silent" if name in self.resting else name)
        return expert
