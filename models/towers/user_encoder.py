"""The sequence encoder: a user's last behaviours read in their order, for taste, interests and pull."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from artifacts.actions import ACTIONS
from models.towers.config import Config
from models.towers.experts.layers import Block, masked_mean, unit

#: How far the interests start from each other, and from what the history says (*inferred*).
_APART = 0.5


class UserEncoder(nn.Module):
    """``(portrait [B, K, E, d], behaviour [B, K], age_days [B, K], item [B, K])`` -> three parts.

    The states ``[B, 1 + K, w]``, of which the first is the user's and the others are of the behaviours; the
    mask ``[B, 1 + K]``, True where there is one; and the summary ``[B, 2w]``: the user's state and the mean
    of the others, zeros without a behaviour.

    *Inferred*: each behaviour becomes a token of what its item looks and reads like, of the action, of its
    age, and of the item itself by the hash of its id. A layer over single tokens comes before they are
    averaged, so that what tells of a liking (a colour, a brand) can be kept and what tells of the errand
    (the category) can be left out.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims, knobs = config.dimensions, config.user
        width = knobs.width
        self.content = nn.Linear(len(dims.experts) * dims.expert_dim, width)
        # Tables are indexed: what nn.Embedding gives has the name of an output of the graph in ONNX.
        self.action = nn.Parameter(torch.empty(len(ACTIONS.behaviours) + 1, width))
        self.age = nn.Linear(1, width, bias=False)
        self.buckets = knobs.item_buckets
        #: Rows by the hash of an item's id; two items may share one.
        self.item = nn.Parameter(torch.empty(knobs.item_buckets, width)) if knobs.item_buckets else None
        self.own = nn.Parameter(torch.zeros(width))
        self.drop = nn.Dropout(knobs.dropout)
        self.token = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU())
        self.blocks = nn.ModuleList(
            Block(width, knobs.heads, 2 * width, knobs.dropout) for _ in range(knobs.layers)
        )
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.action, std=0.1)
        if self.item is not None:
            nn.init.normal_(self.item, std=0.02)

    def forward(
        self, portrait: Tensor, behaviour: Tensor, age_days: Tensor, item: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        known = behaviour > 0
        seen: Tensor = self.content(portrait.flatten(2) * known.to(portrait.dtype).unsqueeze(-1))
        x = seen + self.action[behaviour] + self.age(torch.log1p(age_days).unsqueeze(-1))
        if self.item is not None:
            x = x + self.item[item % self.buckets]
        x = self.token(self.drop(x))
        x = torch.cat([torch.zeros_like(x[:, :1]) + self.own, x], dim=1)
        mask = torch.cat([torch.ones_like(known[:, :1]), known], dim=1)
        for block in self.blocks:
            x = block(x, mask)
        states: Tensor = self.norm(x)
        some = known.any(dim=1, keepdim=True).to(states.dtype)
        summary = torch.cat([states[:, 0] * some, masked_mean(states[:, 1:], known)], dim=-1)
        return states, mask, summary


class Interests(nn.Module):
    """``(states [B, L, w], mask [B, L])`` -> unit ``[B, n, e]``: where a user's next click may lie.

    One vector cannot lie near four categories, several can. *Inferred*: each attends to the states by scores
    of its own (ComiRec), and all read them by one layer.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        width, count, dim = config.user.width, config.user.interests, config.dimensions.embedding_dim
        self.look = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, count))
        self.read = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, dim))
        self.start = nn.Parameter(torch.randn(count, dim) * _APART / dim**0.5)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        scores = self.look(states).masked_fill(~mask.unsqueeze(-1), -1e9)
        mixed = torch.einsum("bln,blw->bnw", torch.softmax(scores, dim=1), states)
        return unit(self.read(mixed) + self.start)
