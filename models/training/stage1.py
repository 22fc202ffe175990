"""Stage 1: the experts, each with its own loss, and their mean (paper: the multi-modality experts first)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from common.arrays import F32, I64
from models.dataset.coclick import CoClicks
from models.towers import Towers
from models.towers.experts import EXPERTS, Expert
from models.training import ranks
from models.training.batches import Batch
from models.training.companions import Companions, companion_loss
from models.training.encode import side_by_side, trim_words
from models.training.features import PictureFeatures
from models.training.hybrid import HybridStep
from models.training.loop import Losses, Stage
from models.training.losses import mnsce
from models.training.mining import MOST_QUERIES, Grader
from models.training.precision import full
from models.training.rates import expert_groups, resting
from models.training.run import Run, TrainError

_CHUNK = 1024


def train_experts(
    run: Run,
    towers: Towers,
    pictures: PictureFeatures,
    coclicks: CoClicks,
    grader: Grader | None = None,
) -> None:
    """Train the experts of both towers, or load what was trained before; ``grader`` is the teacher."""
    stage = Stage("stage1", run)
    if stage.finished:
        # They may be of a run that differs in its fusion.
        stage.load(towers, ("query_experts.", "item_experts."))
        return
    step = _ExpertStep(run, towers, pictures, coclicks)
    step.grader = grader
    groups = expert_groups(towers, run.config)
    with step.ahead as ahead:
        stage.run(towers, groups, run.config.stage1, step.losses, times=ahead.times)
    step.rest(frozenset())
    step.mining.clear()


class _ExpertStep(HybridStep):
    """Scores ``[M, B, N]``: every expert learns by itself, and their mean learns too."""

    name = "stage1"

    def __init__(self, run: Run, towers: Towers, pictures: PictureFeatures, coclicks: CoClicks) -> None:
        super().__init__(run, towers, pictures, run.config.stage1)
        self.experts = [EXPERTS[name] for name in run.config.dimensions.experts]
        #: Places in the axis of the experts that take part in this step.
        self.awake = list(range(len(self.experts)))
        self.alike = round(self.batch * run.config.data.companion_share)
        self.companions = Companions(coclicks) if self.alike and len(coclicks.indices) else None
        members = towers.item_experts.members()
        self.taught = [e for e in self.experts if e.learns_coclicks and e.name in members]
        if self.companions is not None and not self.taught:
            raise TrainError("data.companion_share: none of the experts of this run learns from co-clicks")

    def rest(self, names: frozenset[str]) -> None:
        """Let some experts take no part from now on."""
        self.towers.query_experts.resting = self.towers.item_experts.resting = names
        self.awake = [place for place, expert in enumerate(self.experts) if expert.name not in names]

    def begin(self, step: int, *, hard_now: bool) -> None:
        if hard_now:
            self.rest(frozenset())
            self.judge()
        self.rest(resting(self.config, step))
        if hard_now and self.config.loss.mine_experts:
            self.mine(step)

    def ranked(self) -> tuple[F32, F32]:
        """By the mean cosine of all experts: their outputs side by side."""
        awake = self.towers.query_experts.resting
        self.rest(frozenset())
        texts = self.data.queries[:MOST_QUERIES]
        starts = range(0, len(texts), _CHUNK)
        queries = [side_by_side(self.experts_of(texts[start : start + _CHUNK])) for start in starts]
        every = np.arange(self.data.items)
        items = [self.known_items(every[start : start + _CHUNK]) for start in range(0, len(every), _CHUNK)]
        self.rest(awake)
        scale = float(len(self.experts)) ** -0.5
        return np.concatenate(queries) * scale, np.concatenate(items) * scale

    def known_items(self, rows: I64) -> F32:
        return side_by_side(self.encode_items(rows, np.zeros(len(rows), np.bool_)))

    def items(self, rows: I64, drawn: Batch, rng: np.random.Generator) -> Tensor:
        bare = rng.random(len(rows)) < self.config.data.item_picture_dropout
        own = ranks.share(len(rows))
        return ranks.gather(self.encode_items(rows[own], bare[own]), len(rows))

    def queries(self, drawn: Batch) -> Tensor:
        return ranks.gather(self.encode_queries(drawn.queries), self.batch)

    def scores(self, queries: Tensor, items: Tensor) -> Tensor:
        with full(self.device):
            return torch.einsum("bmd,nmd->mbn", queries.float(), items.float())

    def easy(
        self, cosines: Tensor, masked: Tensor, drawn: Batch, rng: np.random.Generator
    ) -> tuple[Tensor, Losses]:
        scale, log_q = self.config.loss.scale, self.log_q(drawn, cosines.shape[-1])
        weights = [self._speaks(drawn, expert) for expert in self.experts]
        every = self.tensor(drawn.says.astype(np.float32))
        each = [
            mnsce(cosines[m], masked, scale=scale, weights=weights[m], log_q=log_q)
            for m in range(len(cosines))
        ]
        mean = cosines[self.awake].mean(dim=0)
        together = mnsce(mean, masked, scale=scale, weights=every, log_q=log_q)
        easy = torch.stack([each[place] for place in self.awake]).mean() + together + self._coclicks(rng)
        return easy, {expert.name: own for expert, own in zip(self.experts, each, strict=True)}

    def mean(self, scores: Tensor) -> Tensor:
        return scores[self.awake].mean(dim=0)

    def _speaks(self, drawn: Batch, expert: Expert) -> Tensor:
        """``[B]``, 1 where a query has what the expert reads; elsewhere it has nothing to say or to learn."""
        text = drawn.queries.has_text & expert.reads_text
        picture = (drawn.queries.has_picture > 0) & expert.reads_picture
        return self.tensor((text | picture).astype(np.float32))

    def _coclicks(self, rng: np.random.Generator) -> Tensor | float:
        """What co-clicks say of the outputs of the experts that they teach; 0 where they teach none."""
        if self.companions is None:
            return 0.0
        rows, columns = self.companions.draw(self.alike, rng)
        text = self.data.texts.batch(columns[ranks.share(len(columns))])
        inputs = {"input_ids": text.input_ids, "ngram_ids": trim_words(text.ngram_ids)}
        weights = self.tensor(self.companions.weights(rows, columns))
        itself = self.tensor(rows[:, None] == columns)
        own = self.tensor(np.searchsorted(columns, rows))
        total: Tensor | float = 0.0
        for expert in self.taught:
            module = self.towers.item_experts.members()[expert.name]
            outputs = module(*(self.tensor(inputs[name]) for name in expert.inputs))
            near = ranks.gather(outputs, len(columns))
            with full(self.device):
                near = near.float()
                scale = self.config.loss.companion_scale
                total = total + companion_loss(near[own], near, itself, weights, scale=scale)
        return total
