"""Fusion: concatenation, then DSSM (paper), to the unit embeddings that the index compares.

*Inferred*: beside the DSSM's layers runs a straight linear path that starts as the same projection in
both towers, so that stage 2 starts from the mean of the experts of stage 1 and only improves on it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.towers.config import Config
from models.towers.experts.layers import unit
from models.towers.gate import Gate
from models.towers.portrait_attention import PortraitAttention
from models.towers.taste import Taste
from models.towers.user_encoder import Interests, UserEncoder


class Dssm(nn.Module):
    """``(experts [B, 3d], context [B, c], beside [B, e])`` -> unit ``[B, e]``; ``beside`` is added to it."""

    def __init__(self, width: int, context: int, hidden: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.straight = nn.Linear(width, dim, bias=False)
        self.layers = nn.Sequential(
            nn.Linear(width + context, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, dim),
        )
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.normal_(last.weight, std=0.002)
        nn.init.zeros_(last.bias)

    def forward(self, experts: Tensor, context: Tensor, beside: Tensor | None = None) -> Tensor:
        mixed: Tensor = self.straight(experts) + self.layers(torch.cat([experts, context], dim=-1))
        return unit(mixed if beside is None else mixed + beside)


class QueryFusion(nn.Module):
    """``(experts [B, E, d], portrait [B, K, E, d], behaviour [B, K], age_days [B, K])`` -> a pair.

    The first output is the unit embedding ``[B, e]``, the second the gate's weights ``[B, E]``.
    """

    #: Inputs and outputs of the graph, in their order.
    inputs: tuple[str, ...] = ("experts", "portrait", "behaviour", "age_days")
    outputs: tuple[str, ...] = ("embedding", "gate")

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims, switches = config.dimensions, config.switches
        count, dim = len(dims.experts), dims.expert_dim
        self.portrait = PortraitAttention(count, dim)
        self.gate = Gate(count, dim, config.fusion.gate_hidden, config.fusion.gate_start)
        self.dssm = Dssm(
            count * dim, 2 * count * dim, config.fusion.hidden, config.words_dim, config.fusion.dropout
        )
        #: *Inferred*: both reads of the history also go straight into the embedding.
        self.history = nn.Linear(2 * count * dim, config.words_dim, bias=False)
        nn.init.zeros_(self.history.weight)
        self.use_history, self.use_gate, self.count = switches.history, switches.gate, count

    def forward(
        self, experts: Tensor, portrait: Tensor, behaviour: Tensor, age_days: Tensor
    ) -> tuple[Tensor, ...]:
        alike, taste = self.portrait(experts, portrait, behaviour, age_days)
        return self.fused(experts, torch.stack([alike, taste], dim=1) * float(self.use_history))

    def fused(self, experts: Tensor, history: Tensor) -> tuple[Tensor, Tensor]:
        """Embedding and gate of queries with both reads of their histories ``[B, 2, E, d]``."""
        gate: Tensor = self.gate(experts, history[:, 1])
        if not self.use_gate:
            gate = torch.full_like(gate, 1.0 / self.count) + 0.0 * gate
        weights = (gate * self.count).unsqueeze(-1)
        context = (history * weights.unsqueeze(1)).flatten(1)
        embedding: Tensor = self.dssm((experts * weights).flatten(1), context, self.history(context))
        return embedding, gate


class TasteFusion(QueryFusion):
    """The fusion of ``user.kind = "taste"``: as `QueryFusion`, and the pull ``[B]`` as a third output.

    Of a query that says something the portraits tell no more than its user's taste (`Taste`): gate and DSSM
    read them only where there is nothing else to read.
    """

    outputs: tuple[str, ...] = (*QueryFusion.outputs, "pull")

    def __init__(self, config: Config, taste: Taste) -> None:
        super().__init__(config)
        self.taste = taste

    def forward(
        self, experts: Tensor, portrait: Tensor, behaviour: Tensor, age_days: Tensor
    ) -> tuple[Tensor, ...]:
        alike, liked = self.portrait(experts, portrait, behaviour, age_days)
        silent = 1.0 - self.taste.asks(experts).to(experts.dtype)
        query, gate = self.fused(experts, torch.stack([alike, liked], dim=1) * silent[:, :, None, None])
        embedding, pull = self.taste.of_query(query, experts, portrait, behaviour, age_days)
        return embedding, gate, pull


class PersonalFusion(nn.Module):
    """The fusion of ``user.kind = "residual"``: the query first, then what its user likes.

    ``(experts [B, E, d], portrait [B, K, E, d], behaviour [B, K], age_days [B, K], item int64 [B, K])`` ->
    the unit embedding ``[B, e]``, the gate's weights ``[B, E]``, the pull ``[B]`` and, where the
    configuration has any, the unit interests ``[B, n, e]``. ``item`` is the hash of each behaviour's item.

    The query's own vector q knows no history. The embedding is unit(q + g * t): t is the taste, from the
    sequence encoder and from both reads of the three portraits, and the pull g, 0 to 1, says how much it
    may turn the query. Without a history g is 0. *Inferred*: g reads query and user, so that a narrow query
    can be left as it is.
    """

    inputs: tuple[str, ...] = (*QueryFusion.inputs, "item")

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims, switches, knobs = config.dimensions, config.switches, config.user
        count, dim = len(dims.experts), dims.expert_dim
        width = count * dim
        self.portrait = PortraitAttention(count, dim)
        self.gate = Gate(count, dim, config.fusion.gate_hidden, config.fusion.gate_start)
        self.dssm = Dssm(width, 0, config.fusion.hidden, dims.embedding_dim, config.fusion.dropout)
        self.user = UserEncoder(config)
        self.taste = nn.Linear(2 * knobs.width, dims.embedding_dim, bias=False)
        nn.init.normal_(self.taste.weight, std=0.02)
        self.history = nn.Linear(2 * width, dims.embedding_dim, bias=False)
        nn.init.zeros_(self.history.weight)
        self.pull = nn.Sequential(
            nn.Linear(width + 2 * knobs.width, config.fusion.gate_hidden),
            nn.Tanh(),
            nn.Linear(config.fusion.gate_hidden, dims.embedding_dim if knobs.pull_each else 1),
        )
        last = self.pull[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.constant_(last.bias, math.log(knobs.pull / (1.0 - knobs.pull)))
        self.interests = Interests(config) if knobs.interests else None
        self.outputs = (*QueryFusion.outputs, "pull", *(["interests"] if knobs.interests else []))
        self.use_history, self.use_gate, self.count = switches.history, switches.gate, count
        self.slot_dropout = knobs.slot_dropout

    def forward(
        self, experts: Tensor, portrait: Tensor, behaviour: Tensor, age_days: Tensor, item: Tensor
    ) -> tuple[Tensor, ...]:
        if self.training and self.slot_dropout:
            kept = torch.rand(behaviour.shape, device=behaviour.device) >= self.slot_dropout
            behaviour = behaviour * kept
        alike, taste = self.portrait(experts, portrait, behaviour, age_days)
        reads = torch.stack([alike, taste], dim=1) * float(self.use_history)
        gate: Tensor = self.gate(experts, reads[:, 1])
        if not self.use_gate:
            gate = torch.full_like(gate, 1.0 / self.count) + 0.0 * gate
        weights = (gate * self.count).unsqueeze(-1)
        query = self.dssm((experts * weights).flatten(1), experts.flatten(1)[:, :0])
        states, mask, summary = self.user(portrait, behaviour, age_days, item)
        likes = self.taste(summary) + self.history((reads * weights.unsqueeze(1)).flatten(1))
        some = (behaviour > 0).any(dim=1).to(query.dtype) * float(self.use_history)
        pulls = torch.sigmoid(self.pull(torch.cat([experts.flatten(1), summary], dim=-1)))
        pulls = pulls * some.unsqueeze(-1)
        embedding, pull = unit(query + pulls * likes), pulls.mean(dim=1)
        if self.interests is None:
            return embedding, gate, pull
        return embedding, gate, pull, self.interests(states, mask)


class ItemFusion(nn.Module):
    """``(features [B, E, d], coclick [B, E, d])`` -> unit ``[B, e]``; zeros in coclick = none (paper:
    items too have a clicked-item history). With ``taste`` its likings have dimensions of their own.

    With ``fusion.popularity`` a third input ``statistics [B, 1]``: how often the item was clicked
    (`models.dataset.coclick.CoClicks.statistics`), 0 where nothing is known. *Inferred*: popularity is a
    direction of its own, so that each query, and each interest, can weigh it.
    """

    outputs: tuple[str, ...] = ("embedding",)

    def __init__(self, config: Config, taste: Taste | None = None) -> None:
        super().__init__()
        dims = config.dimensions
        width = len(dims.experts) * dims.expert_dim
        known = int(config.fusion.popularity)
        self.inputs: tuple[str, ...] = ("features", "coclick", *(["statistics"] if known else []))
        self.dssm = Dssm(width, width + known, config.fusion.hidden, config.words_dim, config.fusion.dropout)
        self.taste = taste
        self.popularity = nn.Linear(1, config.words_dim, bias=False) if known else None
        if self.popularity is not None:
            nn.init.normal_(self.popularity.weight, std=0.02)
        self.use_coclick = config.switches.coclick

    def forward(self, features: Tensor, coclick: Tensor, statistics: Tensor | None = None) -> Tensor:
        context = coclick.flatten(1) * float(self.use_coclick)
        beside = None
        if self.popularity is not None:
            assert statistics is not None
            context, beside = torch.cat([context, statistics], dim=1), self.popularity(statistics)
        result: Tensor = self.dssm(features.flatten(1), context, beside)
        return result if self.taste is None else self.taste.of_item(result, features)
