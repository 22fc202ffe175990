"""A linear reader of the true attributes of what a user did last: what a history can tell at all.

It knows the true colour, pattern, brand and price band of every item, and has five numbers to learn from the
train split: a weight for each attribute, and how much is believed of so many behaviours. They are fitted as
tastes are (`models.training.taste`): by what a user clicked among what others clicked for the same search.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from common.arrays import F32, I64
from models.dataset.histories import Histories
from models.dataset.training_data import TrainingData
from models.evaluation.heldout import Request
from models.synthetic.attributes import BRAND, COLOUR, PATTERN
from models.synthetic.truth import read_items
from models.training.rivals import Rivals, choice

_STEPS, _BATCH, _RIVALS, _RATE = 1500, 512, 16, 0.02


class Reader:
    """What it says of users and items: the product of the two is in nats of the chance of a click."""

    def __init__(self, shop: Path, data: TrainingData) -> None:
        truth = read_items(shop)
        codes = [*truth.codes[[COLOUR, PATTERN, BRAND]], truth.price_band]
        each = [np.eye(int(code.max()) + 1, dtype=np.float32)[code] for code in codes]
        #: ``[N, values]``, 1 where an item has a value.
        self.items: F32 = np.concatenate(each, axis=1)
        self._attribute = torch.from_numpy(np.repeat(np.arange(len(each)), [e.shape[1] for e in each]))
        self._weights = torch.nn.Parameter(torch.full((len(each),), 0.5))
        self._doubt = torch.nn.Parameter(torch.full((1,), 2.0))
        self._fit(data)

    def _fit(self, data: TrainingData) -> None:
        rng, rivalry = np.random.default_rng(data.config.seed), Rivals(data)
        query = np.asarray(data.query)
        events = np.flatnonzero(data.has_history() & (query > 0) & (data.intent[query] > 0))
        every: Histories = data.histories(events)
        table, clicked = torch.from_numpy(self.items), np.asarray(data.item).astype(np.int64)
        optimiser = torch.optim.Adam([self._weights, self._doubt], lr=_RATE)
        for step in range(_STEPS):
            optimiser.param_groups[0]["lr"] = _RATE * (1.0 - step / _STEPS)
            rows = rng.integers(len(events), size=_BATCH)
            others = rivalry.of(events[rows], _RIVALS, rng)
            users = self._users(torch.from_numpy(every.items[rows]))
            own = (users * table[clicked[events[rows]]]).sum(dim=1)
            rivals = torch.einsum("bv,brv->br", users, table[others.items])
            loss = choice(own, rivals, torch.from_numpy(others.present), scale=1.0)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    def _users(self, rows: torch.Tensor) -> torch.Tensor:
        """Items ``[B, K]``, -1 for an empty slot -> ``[B, values]``."""
        table = F.pad(torch.from_numpy(self.items), (0, 0, 0, 1))
        told = (rows >= 0).sum(dim=1, keepdim=True) + self._doubt.exp()
        return table[rows].sum(dim=1) / told * self._weights[self._attribute]

    @torch.no_grad()
    def users(self, requests: Sequence[Request], rows: dict[str, int]) -> F32:
        """What it says of the users of requests: ``[n, values]``."""
        depth = max([1, *(len(request.history) for request in requests)])
        items: I64 = np.full((len(requests), depth), -1, dtype=np.int64)
        for place, request in enumerate(requests):
            items[place, : len(request.history)] = [rows[b.item_id] for b in request.history]
        found: F32 = self._users(torch.from_numpy(items)).numpy()
        return found
