"""Stage 2: portrait, gate and DSSM of both towers, over frozen experts (or experts at a lower rate)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.arrays import F16, F32, I64
from models.dataset.coclick import CoClicks
from models.dataset.histories import Histories
from models.towers import Towers
from models.training import ranks
from models.training.batches import Batch
from models.training.coclick_features import coclick_features, without_own_visits
from models.training.early_stop import EarlyStop
from models.training.encode import in_parts, side_by_side
from models.training.features import PictureFeatures, write_item_features
from models.training.hybrid import HybridStep
from models.training.loop import Curve, Losses, Stage
from models.training.losses import mnsce
from models.training.mining import MOST_QUERIES, Grader
from models.training.precision import cosines as cosines_of
from models.training.precision import full
from models.training.rates import expert_groups
from models.training.rivals import RivalDraw, Rivals, choice
from models.training.run import Run
from models.training.teacher.answers import taught_answers
from models.training.validation import Validation

_CHUNK = 4096


def train_fusion(
    run: Run,
    towers: Towers,
    pictures: PictureFeatures,
    features: F16,
    coclicks: CoClicks,
    grader: Grader | None = None,
    looks: EarlyStop | None = None,
) -> None:
    """Train the fusion, or load what was trained before; see `_FusionStep` for the arrays.

    ``grader`` is the teacher, where the run has one; ``looks`` takes the place of those at val.
    """
    config = run.config
    stage = Stage("stage2", run)
    if stage.finished:
        stage.load(towers)
        return
    with ranks.leader_first():
        step = _FusionStep(run, towers, pictures, features, coclicks)
        step.learn(grader)
    groups: list[dict[str, Any]] = [{"params": towers.fusion_parameters(), "factor": 1.0}]
    if config.stage2.expert_rate > 0:
        groups += expert_groups(towers, config, config.stage2.expert_rate)
    early_stop = looks
    if early_stop is None and config.validation.every:
        validation = Validation(run.data)
        early_stop = EarlyStop(config.validation, lambda: step.recall(validation))
    with step.ahead as ahead:
        stage.run(towers, groups, config.stage2, step.losses, early_stop, ahead.times)
    if early_stop is None and ranks.leads():
        validation = Validation(run.data)
        if validation.texts:
            measured = {f"recall@{config.validation.at}": step.recall(validation)}
            Curve(run.folder / "stage2-val.csv", 0).write(config.stage2.steps, measured)
    step.mining.clear()
    if ranks.leads():
        for pattern in ("item_features-*.npy", "coclick_features-*.npy"):
            for file in run.folder.glob(pattern):
                file.unlink()


class _FusionStep(HybridStep):
    """Scores ``[B, N]`` of embeddings; ``features`` float16 ``[2, N, M, d]`` with and without pictures."""

    name = "stage2"
    browse = True

    def __init__(
        self, run: Run, towers: Towers, pictures: PictureFeatures, features: F16, coclicks: CoClicks
    ) -> None:
        super().__init__(run, towers, pictures, run.config.stage2)
        self.features = features
        self.frozen = self.knobs.expert_rate == 0
        self.coclick = coclick_features(run, coclicks, features[0])
        self.coclicks = coclicks
        self.rivalry = Rivals(run.data) if run.config.loss.choice else None
        #: The step at which experts that train here made the features; 0 for those of stage 1.
        self.refreshed = 0
        self._hush()

    def learn(self, grader: Grader | None) -> None:
        """Take the teacher's word, where the run has one and ``loss.false_negatives`` says so."""
        self.grader = grader
        if grader is not None and self.config.loss.false_negatives == "teacher":
            path = self.run.folder / "teacher_answers.npy"
            self.known.taught = taught_answers(path, self.data, self._by_experts, grader, self.device)

    def begin(self, step: int, *, hard_now: bool) -> None:
        if not self.frozen and step - step % self.knobs.refresh_every > self.refreshed:
            self._refresh(step - step % self.knobs.refresh_every)
        self._freeze()
        if hard_now:
            self.judge()
            self.mine(step)
            self._freeze()

    def items(self, rows: I64, drawn: Batch, rng: np.random.Generator) -> Tensor:
        return self._items(rows, drawn, rng, self.config.data.coclick_dropout)

    def untold(self, rows: I64, drawn: Batch, rng: np.random.Generator) -> Tensor | None:
        """Without their co-clicks and statistics."""
        if self.config.loss.hard_coclicks:
            return None
        return self._items(rows, drawn, rng, 1.0)

    def _items(self, rows: I64, drawn: Batch, rng: np.random.Generator, no_coclicks: float) -> Tensor:
        """Embeddings ``[N, e]``; ``no_coclicks`` is the share of items without their co-clicks."""
        count, own = len(rows), ranks.share(len(rows))
        bare = (rng.random(count) < self.config.data.item_picture_dropout)[own]
        no_coclick = (rng.random(count) < no_coclicks)[own]
        rows = rows[own]
        among = set(rows[~no_coclick].tolist())
        left_out = without_own_visits(self.data, self.coclicks, self.features[0], drawn, among)
        if self.frozen:
            features = self.tensor(self.features[bare.astype(np.int64), rows].astype(np.float32))
        else:
            features = self.encode_items(rows, bare)
        coclick = self.coclick[rows].astype(np.float32)
        for place, row in enumerate(rows.tolist()):
            if row in left_out:
                coclick[place] = left_out[row]
        coclick[no_coclick] = 0.0
        inputs = [features, self.tensor(coclick)]
        if self.config.fusion.popularity:
            # The click that is to be foretold is in no held-out item's count.
            clicks = np.isin(rows, drawn.items[drawn.wanted.events >= 0]).astype(np.int64)
            clicked = self.coclicks.statistics(rows, clicks)
            clicked[no_coclick] = 0.0
            inputs.append(self.tensor(clicked))
        return ranks.gather(in_parts(self.towers.item_fusion, inputs, self.knobs.cached_rows), count)

    def queries(self, drawn: Batch) -> Tensor:
        with torch.no_grad() if self.frozen else nullcontext():
            experts = self.encode_queries(drawn.queries)
        assert drawn.histories is not None
        self.seen = experts.detach()
        portraits = self._portraits(drawn.histories)
        vectors = in_parts(self._vectors, [experts, *portraits], self.knobs.cached_rows)
        return ranks.gather(vectors, len(drawn.items))

    def guide(self, drawn: Batch, distinct: I64) -> Tensor | None:
        """Mean cosine of the experts of stage 1; none of those that train on."""
        if self.config.loss.false_negatives != "guide":
            return None
        with torch.no_grad(), full(self.device):
            queries = ranks.gather(self.seen, len(drawn.items)).float()
            items = self.tensor(self.features[0, distinct].astype(np.float32))
            return torch.einsum("bmd,nmd->bn", queries, items) / queries.shape[1]

    def scores(self, queries: Tensor, items: Tensor) -> Tensor:
        """Those of the query and, where there are any, of the user's nearest interest: ``[1 or 2, B, N]``."""
        asked = cosines_of(queries[:, 0], items)
        if queries.shape[1] == 1:
            return asked.unsqueeze(0)
        each = [cosines_of(queries[:, place], items) for place in range(1, queries.shape[1])]
        return torch.stack([asked, torch.stack(each).amax(dim=0)])

    def mean(self, scores: Tensor) -> Tensor:
        return scores[0]

    def easy(
        self, cosines: Tensor, masked: Tensor, drawn: Batch, rng: np.random.Generator
    ) -> tuple[Tensor, Losses]:
        loss = self.config.loss
        weights = self.tensor(drawn.says.astype(np.float32))
        log_q = self.log_q(drawn, cosines.shape[-1])
        easy = mnsce(cosines[0], masked, scale=loss.scale, log_q=log_q, weights=weights)
        return easy, {"mnsce": easy}

    def beside(self, cosines: Tensor, masked: Tensor, drawn: Batch) -> tuple[Tensor, Losses]:
        """The loss of interests: the next click of a user lies near one of them, whatever was asked for."""
        if len(cosines) == 1:
            return super().beside(cosines, masked, drawn)
        loss = self.config.loss
        asked = drawn.queries.has_text | (drawn.queries.has_picture > 0)
        counts = drawn.remembered * np.where(asked, loss.interests_asked, 1.0)
        weights, log_q = self.tensor(counts.astype(np.float32)), self.drawn_log(drawn, cosines.shape[-1])
        wide = mnsce(cosines[1], masked, scale=loss.scale, log_q=log_q, weights=weights)
        return loss.interests * wide, {"interests": wide}

    def rivals(self, drawn: Batch, rng: np.random.Generator) -> RivalDraw:
        if self.rivalry is None:
            return super().rivals(drawn, rng)
        return self.rivalry.draw(drawn, self.config.loss.rivals, rng)

    def choose(self, own: Tensor, far: Tensor, rivals: RivalDraw) -> tuple[Tensor, Losses]:
        if self.rivalry is None:
            return super().choose(own, far, rivals)
        loss = self.config.loss
        found = choice(own[0, :, 0], far[0], self.tensor(rivals.present), scale=loss.scale)
        return loss.choice * found, {"choice": found}

    def recall(self, validation: Validation) -> float:
        """Recall@K of the weights of the moment on val searches; item features are those of stage 1."""
        self.towers.eval()
        if not validation.texts:
            return 0.0
        with torch.no_grad(), full(self.device):
            queries = self._embed(validation.texts, validation.histories)
            return validation.recall(queries, torch.cat(list(self._catalogue())), self.config.validation.at)

    def _refresh(self, step: int) -> None:
        """Make portraits and co-click features anew, with the experts as they are.

        The files stay until the stage ends: a run that was killed goes on with the ones it had.
        """
        with ranks.leader_first(), full(self.device):
            name = f"item_features-{step}"
            self.features = write_item_features(self.run, self.towers.item_experts, self.pictures, name)
            self.coclick = coclick_features(self.run, self.coclicks, self.features[0], f"-{step}")
        self.refreshed = step
        self._hush()
        self.towers.train()

    def _hush(self) -> None:
        """Tell the taste what a query that says nothing is like."""
        if self.towers.taste is not None:
            self.towers.query_experts.eval()
            with torch.no_grad():
                self.towers.taste.silence.copy_(self.experts_of([""])[0].flatten())

    def _freeze(self) -> None:
        if self.frozen:
            self.towers.query_experts.eval()
            self.towers.item_experts.eval()

    def _portraits(self, histories: Histories) -> list[Tensor]:
        """Portraits of item features, trimmed to the longest of the batch as serving does.

        As the query's fusion reads them: features, actions, ages and, where asked for, hashes.
        """
        depth = max(1, int((histories.items >= 0).sum(axis=1).max(initial=0)))
        items = histories.items[:, :depth]
        portrait = self.features[0][np.maximum(items, 0)].astype(np.float32)
        portrait[items < 0] = 0.0
        behaviour, age_days = histories.behaviour[:, :depth], histories.age_days[:, :depth]
        found = [self.tensor(portrait), self.tensor(behaviour), self.tensor(age_days)]
        if "item" in self.towers.query_fusion.inputs:
            found.append(self.tensor(np.where(items < 0, 0, self.data.item_hash[np.maximum(items, 0)])))
        return found

    def _by_experts(self) -> tuple[F32, F32]:
        """The first queries and all items by the mean cosine of the experts of stage 1."""
        self.towers.eval()
        parts = []
        with torch.no_grad(), full(self.device):
            for start in range(0, min(MOST_QUERIES, len(self.data.queries)), _CHUNK):
                texts = self.data.queries[start : start + _CHUNK][: MOST_QUERIES - start]
                parts.append(side_by_side(self.experts_of(texts)))
        return np.concatenate(parts), self.known_items(np.arange(self.data.items))

    def known_items(self, rows: I64) -> F32:
        found: F32 = self.features[0, rows].reshape(len(rows), -1).astype(np.float32)
        return found

    def ranked(self) -> tuple[F32, F32]:
        """By the embeddings of the moment, without a history."""
        queries = []
        for start in range(0, min(MOST_QUERIES, len(self.data.queries)), _CHUNK):
            texts = self.data.queries[start : start + _CHUNK][: MOST_QUERIES - start]
            queries.append(self._embed(texts, Histories.empty(len(texts), 1)).cpu().numpy())
        items = [part.cpu().numpy() for part in self._catalogue()]
        return np.concatenate(queries), np.concatenate(items)

    def _vectors(self, experts: Tensor, *portraits: Tensor) -> Tensor:
        """Embeddings and, where there are any, interests behind them: ``[n, 1 + interests, e]``."""
        outputs = self.towers.query_fusion(experts, *portraits)
        vectors: Tensor = outputs[0].unsqueeze(1)
        return torch.cat([vectors, outputs[-1]], dim=1) if self.config.user.interests else vectors

    def _catalogue(self) -> Iterator[Tensor]:
        """Embeddings of all items, in parts of ``[n, e]``."""
        for start in range(0, self.data.items, _CHUNK):
            part = slice(start, start + _CHUNK)
            arrays: list[F16 | F32] = [self.features[0, part], self.coclick[part]]
            if self.config.fusion.popularity:
                arrays.append(self.coclicks.statistics(part))
            yield self.towers.item_fusion(*(self.tensor(array.astype(np.float32)) for array in arrays))

    def _embed(self, texts: list[str], histories: Histories) -> Tensor:
        """Embeddings ``[n, e]`` of queries without a picture."""
        return self._vectors(self.experts_of(texts), *self._portraits(histories))[:, 0]
