"""Taste: what a user likes, in dimensions of the embedding that only a history fills.

*Inferred*. A query's vector is unit([q; u]), an item's [a i; b v], and a and b are the same for every item.
So without a history, u = 0, the order is that of q and i; with one, v moves items by what the user likes and
by nothing else.

What shoppers ask for is what they tell items apart by. So an item is read by the words that queries name it
by, less those that any answer to the same searches has: of a bowl, its blue and its brand are left.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from artifacts.actions import ACTIONS
from models.towers.config import Config
from models.towers.experts.layers import unit

#: Of this logarithm more answers than few are enough for the whole taste: 7 times as many.
_RISE = 2.0
#: Squared distance from silence within which a query says nothing: far more than rounding, in fp16 and int8.
_SILENT = 0.01


class Taste(nn.Module):
    """What both fusions know of tastes; `models.training.taste` fits it after stage 2.

    Until it is ``on``, and for a user without a history, it leaves the order as it is.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims, knobs = config.dimensions, config.taste
        width = len(dims.experts) * dims.expert_dim
        #: Each expert's output is of length 1; this makes its numbers about 1.
        self.loud = dims.expert_dim**0.5
        #: Logits of the words that a query for the item may have, and what they come to on average in what
        #: answers the same searches.
        self.words = nn.Linear(width, knobs.words)
        self.usual = nn.Linear(width, knobs.words)
        #: Likings from the words. The product of two is in nats of the chance of a click.
        self.read = nn.Linear(knobs.words, config.taste_dim - 1, bias=False)
        #: How much an action tells, as a logarithm, and what it loses with the logarithm of its days.
        self.action = nn.Parameter(torch.zeros(len(ACTIONS.behaviours) + 1))
        self.fading = nn.Parameter(torch.zeros(1))
        #: Behaviours, as a logarithm, of which half is believed.
        self.doubt = nn.Parameter(torch.full((1,), 2.0))
        #: How many items answer a query, as a logarithm.
        self.answers = nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, 1))
        #: The length of an item's likings that fills the place they have in its vector.
        self.reach = nn.Parameter(torch.ones(1), requires_grad=False)
        #: What the experts say of a query that says nothing, side by side.
        self.silence = nn.Parameter(torch.zeros(width), requires_grad=False)
        self.on = False
        self.few = torch.tensor(float(knobs.answers)).log().item()
        self.amount = knobs.amount
        self.own, self.theirs = (1.0 - knobs.share) ** 0.5, knobs.share**0.5

    def logits(self, features: Tensor) -> Tensor:
        """``[..., E d]`` -> ``[..., words]``: of the words that queries for items may have."""
        logits: Tensor = self.words(features * self.loud)
        return logits

    def rare(self, features: Tensor) -> Tensor:
        """``[..., E d]`` -> ``[..., words]``: what items have that their like lack."""
        found: Tensor = torch.sigmoid(self.logits(features)) - self.usual(features)
        return found

    def likings(self, features: Tensor) -> Tensor:
        """``[..., E d]`` -> ``[..., r - 1]``: what is liked or not about items."""
        likings: Tensor = self.read(self.rare(features))
        return likings

    def weights(self, behaviour: Tensor, age_days: Tensor) -> Tensor:
        """How much each behaviour ``[B, K]`` counts in what is believed: ``[B, K]``, at most 1 in all."""
        known = (behaviour > 0).to(age_days.dtype)
        told = torch.exp(self.action[behaviour] - self.fading * torch.log1p(age_days)) * known
        return told / (told.sum(dim=1, keepdim=True) + self.doubt.exp())

    def asks(self, experts: Tensor) -> Tensor:
        """Whether queries ``[B, E, d]`` say anything, in words or by a picture: bool ``[B, 1]``."""
        apart = (experts.flatten(1) - self.silence).square().sum(dim=1, keepdim=True)
        return apart > _SILENT

    def room(self, experts: Tensor) -> Tensor:
        """``[B, E, d]`` -> ``[B, 1]``, 0 to 1: 0 where few items answer a query, 1 where it asks nothing."""
        flat = experts.flatten(1)
        room = ((self.answers(flat) - self.few) / _RISE).clamp(0.0, 1.0)
        return torch.where(self.asks(experts), room, torch.ones_like(room))

    def of_item(self, item: Tensor, features: Tensor) -> Tensor:
        """``(i [B, s], features [B, E, d])`` -> unit ``[B, s + r]``."""
        if not self.on:
            return nn.functional.pad(item, (0, self.read.out_features + 1))
        likings = self.likings(features.flatten(1)) / self.reach
        likings = likings / likings.square().sum(dim=1, keepdim=True).clamp(min=1.0).sqrt()
        # The last dimension, which no user has, brings all to one length.
        rest = (1.0 - likings.square().sum(dim=1, keepdim=True)).clamp(min=0.0).sqrt()
        return torch.cat([self.own * item, self.theirs * likings, self.theirs * rest], dim=1)

    def of_query(
        self, query: Tensor, experts: Tensor, portrait: Tensor, behaviour: Tensor, age_days: Tensor
    ) -> tuple[Tensor, Tensor]:
        """``(q [B, s], experts [B, E, d], portrait [B, K, E, d], …)`` -> unit ``[B, s + r]``, pull ``[B]``.

        The pull, 0 to 1, is the sine of the angle by which the history turned the query.
        """
        if not self.on:
            return nn.functional.pad(query, (0, self.read.out_features + 1)), 0.0 * query[:, 0]
        weights = self.weights(behaviour, age_days).unsqueeze(-1)
        likings = (weights * self.likings(portrait.flatten(2))).sum(dim=1)
        factor = self.amount * self.own / self.theirs
        turn = factor * self.reach * self.room(experts) * likings
        embedding = unit(torch.cat([query, turn, 0.0 * turn[:, :1]], dim=1))
        length = turn.square().sum(dim=1)
        return embedding, torch.sqrt(length / (1.0 + length))
