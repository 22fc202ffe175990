"""The step that stages 1 and 2 share: draw, encode, mask, MNSCE, hard negatives, HNST."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor

from common.arrays import I64, Bool
from models.towers import Towers
from models.towers.config import StageConfig
from models.training import ranks
from models.training.answers import KnownAnswers
from models.training.batches import Batch, QueryBatch, Sampler
from models.training.encode import run_experts, to_device
from models.training.features import PictureFeatures
from models.training.hard import HardNegatives
from models.training.loop import Losses
from models.training.losses import hnst
from models.training.run import Run


class HybridStep(ABC):
    """Losses of a stage's steps. A stage says how it encodes, and what its easy loss is."""

    #: Whether examples with a history alone take part, and whether the curves have HNST (stage 2).
    browse = False

    def __init__(self, run: Run, towers: Towers, pictures: PictureFeatures, knobs: StageConfig) -> None:
        self.run, self.towers, self.pictures, self.knobs = run, towers, pictures, knobs
        self.data, self.config, self.device = run.data, run.config, run.device
        self.batch = knobs.batch * ranks.count()
        self.sampler = Sampler(run.data, pictures, knobs, browse=self.browse)
        self.hard, self.known = HardNegatives(run.data), KnownAnswers(run.data)
        seen = np.bincount(np.asarray(run.data.item), minlength=run.data.items)
        #: ``[N]``, share of each item of the positive events; their sum is 1.
        self.share = (seen / max(1, seen.sum())).astype(np.float32)

    def losses(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> Losses:
        """Losses of one step, by name; the first is what is minimised."""
        loss = self.config.loss
        hard_now = loss.beta > 0 and step >= loss.hard_after * self.knobs.steps
        self.begin(step, hard_now=hard_now)
        drawn = self.sampler.draw(self.batch, rng)
        columns = np.concatenate([drawn.items, drawn.uniform])
        count = loss.hard_negatives if hard_now else 0
        hard = self.hard.draw(drawn.queries.query, drawn.queries.shown, count, rng)
        distinct, places = np.unique(np.concatenate([columns, hard.items.ravel()]), return_inverse=True)
        items = self.items(distinct, drawn, rng)
        scores = self.scores(self.queries(drawn), items)
        cosines = scores[..., torch.from_numpy(places[: len(columns)])]
        known = self.known.among(drawn.wanted, columns)
        masked = self.tensor(known | (drawn.items[:, None] == columns))
        easy, shown = self.easy(cosines, masked, drawn, rng)
        total, triplets = loss.alpha * easy, easy.detach() * 0
        if count:
            mean = self.mean(scores)
            rows = torch.arange(self.batch)
            positive = mean[rows, torch.from_numpy(places[: self.batch])]
            far = mean[rows[:, None], torch.from_numpy(places[len(columns) :].reshape(self.batch, count))]
            present, grades = self.tensor(hard.present), self.tensor(hard.grades)
            triplets = hnst(positive, far, present, grades, margin=loss.margin)
            total = total + loss.beta * triplets
        return {"loss": total, **shown, **({"hnst": triplets} if self.browse else {})}

    def log_q(self, drawn: Batch) -> Tensor | None:
        """How often a step draws the item of each column, as a logarithm ``[B + M]``; None where it is off.

        A step draws B events, whose items come by their popularity, titles and M uniform items: the count
        of an item is what both kinds add up to, whichever column it stands in.
        """
        if not self.config.loss.logq:
            return None
        columns = np.concatenate([drawn.items, drawn.uniform])
        titles = int((drawn.wanted.events < 0).sum())
        events = len(drawn.items) - titles
        uniform = (titles + len(drawn.uniform)) / self.data.items
        return self.tensor(np.log(events * self.share[columns] + uniform).astype(np.float32))

    @abstractmethod
    def begin(self, step: int, *, hard_now: bool) -> None:
        """Get ready for a step; ``hard_now`` tells whether HNST takes part in it."""

    @abstractmethod
    def items(self, rows: I64, drawn: Batch, rng: np.random.Generator) -> Tensor:
        """Encode items of all ranks, ``[N]`` distinct rows of the catalogue -> ``[N, …]``."""

    @abstractmethod
    def queries(self, drawn: Batch) -> Tensor:
        """Encode the queries of all ranks -> ``[B, …]``."""

    @abstractmethod
    def scores(self, queries: Tensor, items: Tensor) -> Tensor:
        """Cosines ``[…, B, N]``; several of a pair where several outputs learn side by side."""

    @abstractmethod
    def easy(
        self, cosines: Tensor, masked: Tensor, drawn: Batch, rng: np.random.Generator
    ) -> tuple[Tensor, Losses]:
        """The loss over easy negatives, and what the curves show of it.

        ``cosines`` ``[…, B, C]`` are those to the positive items and the uniform ones; ``masked`` ``[B, C]``
        is True where a column is no negative.
        """

    def mean(self, scores: Tensor) -> Tensor:
        """The cosines ``[B, N]`` that hard negatives are compared by."""
        return scores

    def encode_queries(self, queries: QueryBatch) -> Tensor:
        """Experts' outputs ``[B, M, d]`` of queries."""
        experts = self.towers.query_experts
        return run_experts(experts, queries.text, queries.picture, queries.has_picture, self.device)

    def encode_items(self, rows: I64, bare: Bool) -> Tensor:
        """Experts' outputs ``[N, M, d]`` of items; where ``bare`` without their picture."""
        picture = np.where(bare, -1, self.data.item_picture[rows])
        has = (picture >= 0).astype(np.float32)
        text, feature = self.data.texts.batch(rows), self.pictures.for_items(picture)
        return run_experts(self.towers.item_experts, text, feature, has, self.device)

    def tensor(self, array: np.ndarray) -> Tensor:
        """An array on the run's device."""
        return to_device(array, self.device)
