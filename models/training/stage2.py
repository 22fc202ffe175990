"""Stage 2: portrait, gate and DSSM of both towers, over frozen experts (or experts at a lower rate)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from artifacts.shop.shop import Shop
from common.arrays import F16, F32, I64
from common.progress import Progress
from models.dataset.coclick import CoClicks
from models.dataset.training_data import Histories, TrainingData
from models.towers import Towers
from models.training import ranks
from models.training.batches import Sampler, Step, encode_queries, run_experts
from models.training.early_stop import Watch
from models.training.features import PictureFeatures
from models.training.hard import HardNegatives
from models.training.loop import Group, Losses, Schedule, Stage
from models.training.losses import hnst, hybrid, mnsce, negatives_mask
from models.training.precision import cosines, full
from models.training.rates import expert_groups
from models.training.validation import Validation

_CHUNK = 4096


def train_fusion(
    towers: Towers,
    shop: Shop,
    data: TrainingData,
    pictures: PictureFeatures,
    features: F16,
    coclicks: CoClicks,
    folder: Path,
    progress: Progress,
    device: str,
) -> None:
    """Train the fusion, or load what was trained before; see `_Fusion` for the arrays.

    The shop is read where val searches are looked at during training.
    """
    config = data.config
    stage = Stage("stage2", folder, config.seed, config.checkpoint_minutes, device, bf16=config.bf16)
    if stage.finished:
        stage.load(towers)
        return
    with ranks.leader_first():
        fusion = _Fusion(towers, data, pictures, features, coclicks, folder, device)
    knobs = config.stage2
    groups = [Group(towers.fusion_parameters())]
    if knobs.expert_rate > 0:
        groups += expert_groups(towers, config, knobs.expert_rate)
    schedule = Schedule(knobs.steps, knobs.rate, knobs.weight_decay, knobs.warmup, knobs.clip, knobs.ema)
    watch = None
    if config.validation.every:
        found = Validation(shop, data)
        watch = Watch(config.validation, lambda: fusion.recall(found), stage.name, folder)
    stage.run(towers, groups, schedule, fusion.losses, progress, watch)


class _Fusion:
    """Losses of stage 2.

    Args:
        features: float16 ``[2, N, 3, d]``, item features with and without pictures.
        coclicks: co-clicked items.
        folder: where mined hard negatives are kept.
    """

    def __init__(
        self,
        towers: Towers,
        data: TrainingData,
        pictures: PictureFeatures,
        features: F16,
        coclicks: CoClicks,
        folder: Path,
        device: str,
    ) -> None:
        self.towers, self.data, self.pictures, self.features = towers, data, pictures, features
        self.folder, self.device, self.config = folder, device, data.config
        self.frozen = data.config.stage2.expert_rate == 0
        self.sampler = Sampler(data, pictures, browse=True)
        self.hard = HardNegatives(data)
        self.mined = False
        self.coclick = _coclick_features(coclicks, features[0], folder / "coclick_features.npy")
        seen = np.bincount(np.asarray(data.item), minlength=data.items) + 1.0
        self.log_share = np.log(seen / seen.sum()).astype(np.float32)

    def losses(self, step: int, rng: np.random.Generator, generator: torch.Generator) -> Losses:
        """Losses of one step."""
        loss = self.config.loss
        batch = self.config.stage2.batch * ranks.count()
        if self.frozen:
            self.towers.query_experts.eval()
            self.towers.item_experts.eval()
        hard_now = loss.beta > 0 and step >= loss.hard_after * self.config.stage2.steps
        if hard_now and not self.mined:
            with ranks.leader_first(), full(self.device):
                self._mine()
        drawn = self.sampler.draw(batch, rng)
        columns = np.concatenate([drawn.items, drawn.uniform])
        count = loss.hard_negatives if hard_now else 0
        negatives, present = self.hard.draw(drawn.asked.query, count, rng)
        distinct, places = np.unique(np.concatenate([columns, negatives.ravel()]), return_inverse=True)
        items = self._items(distinct, rng)
        queries = self._queries(drawn)
        scores = cosines(queries, items)
        known = torch.from_numpy(self.data.are_positive(drawn.asked.query, columns))
        masked = negatives_mask(torch.from_numpy(drawn.items), torch.from_numpy(columns), known)
        easy = mnsce(
            scores[:, torch.from_numpy(places[: len(columns)])],
            masked.to(self.device),
            scale=loss.scale,
            log_q=self._log_q(drawn) if loss.logq else None,
            weights=torch.from_numpy(drawn.says.astype(np.float32)).to(self.device),
        )
        if not count:
            return {"loss": loss.alpha * easy, "mnsce": easy, "hnst": easy.detach() * 0}
        rows = torch.arange(batch)
        positive = scores[rows, torch.from_numpy(places[:batch])]
        far = scores[rows[:, None], torch.from_numpy(places[len(columns) :].reshape(batch, count))]
        difficult = hnst(positive, far, torch.from_numpy(present).to(self.device), margin=loss.margin)
        total = hybrid(easy, difficult, alpha=loss.alpha, beta=loss.beta)
        return {"loss": total, "mnsce": easy, "hnst": difficult}

    def _queries(self, drawn: Step) -> Tensor:
        own = ranks.share(len(drawn.items))
        with torch.no_grad() if self.frozen else nullcontext():
            experts = encode_queries(self.towers.query_experts, drawn.asked.part(own), self.device)
        assert drawn.histories is not None
        embedding, _ = self.towers.query_fusion(experts, *self._portraits(drawn.histories.part(own)))
        return ranks.gather(embedding, len(drawn.items))

    def _portraits(self, histories: Histories) -> tuple[Tensor, Tensor, Tensor]:
        # Trimmed to the longest of the batch, as serving does.
        depth = max(1, int((histories.items >= 0).sum(axis=1).max(initial=0)))
        items = histories.items[:, :depth]
        portrait = self.features[0][np.maximum(items, 0)].astype(np.float32)
        portrait[items < 0] = 0.0
        arrays = (portrait, histories.behaviour[:, :depth], histories.age_days[:, :depth])
        first, second, third = (torch.from_numpy(np.ascontiguousarray(a)).to(self.device) for a in arrays)
        return first, second, third

    def _items(self, rows: I64, rng: np.random.Generator) -> Tensor:
        knobs = self.config.data
        count, own = len(rows), ranks.share(len(rows))
        without = (rng.random(count) < knobs.item_picture_dropout).astype(np.int64)[own]
        no_coclick = (rng.random(count) < knobs.coclick_dropout)[own]
        rows = rows[own]
        if self.frozen:
            features = torch.from_numpy(self.features[without, rows].astype(np.float32)).to(self.device)
        else:
            picture = np.where(without == 1, -1, self.data.item_picture[rows])
            has = (picture >= 0).astype(np.float32)
            text, feature = self.data.texts.batch(rows), self.pictures.of_items(picture)
            features = run_experts(self.towers.item_experts, text, feature, has, self.device)
        coclick = self.coclick[rows].astype(np.float32)
        coclick[no_coclick] = 0.0
        embedding = self.towers.item_fusion(features, torch.from_numpy(coclick).to(self.device))
        return ranks.gather(embedding, count)

    def _log_q(self, drawn: Step) -> Tensor:
        events = self.log_share[drawn.items]
        uniform = np.full(len(drawn.uniform), -np.log(self.data.items), dtype=np.float32)
        return torch.from_numpy(np.concatenate([events, uniform])).to(self.device)

    def _mine(self) -> None:
        """Rank the catalogue for the queries, without history, with the weights of this step."""
        self.towers.eval()
        path = self.folder / "hard.npy"
        queries: list[F32] = []
        items: list[F32] = []
        if not path.is_file():
            with torch.no_grad():
                starts = range(0, self.hard.most_queries, _CHUNK)
                queries = [self._plain_queries(self.data.queries[s : s + _CHUNK]) for s in starts]
                items = [part.cpu().numpy() for part in self._catalogue()]
        none = np.zeros((0, self.config.dimensions.embedding_dim), dtype=np.float32)
        self.hard.mine(
            path, np.concatenate([*queries, none])[: self.hard.most_queries], np.concatenate([*items, none])
        )
        self.mined = True
        self.towers.train()
        if self.frozen:
            self.towers.query_experts.eval()
            self.towers.item_experts.eval()

    def _catalogue(self) -> Iterator[Tensor]:
        """Embeddings of all items, in parts of ``[n, e]``."""
        for start in range(0, self.data.items, _CHUNK):
            part = slice(start, start + _CHUNK)
            pair = (self.features[0, part], self.coclick[part])
            yield self.towers.item_fusion(
                *(torch.from_numpy(a.astype(np.float32)).to(self.device) for a in pair)
            )

    def recall(self, found: Validation) -> float:
        """Recall@K of the weights of the moment on val searches; item features are those of stage 1."""
        self.towers.eval()
        text = self.data.text.queries(found.texts)
        count = len(found.texts)
        if not count:
            return 0.0
        picture = np.zeros((count, self.config.picture.feature_dim), dtype=np.float32)
        with torch.no_grad(), full(self.device):
            experts = run_experts(
                self.towers.query_experts, text, picture, np.zeros(count, dtype=np.float32), self.device
            )
            queries, _ = self.towers.query_fusion(experts, *self._portraits(found.histories))
            return found.recall(queries, torch.cat(list(self._catalogue())), self.config.validation.at)

    def _plain_queries(self, texts: list[str]) -> F32:
        text = self.data.text.queries(texts)
        picture = np.zeros((len(texts), self.config.picture.feature_dim), dtype=np.float32)
        has = np.zeros(len(texts), dtype=np.float32)
        experts = run_experts(self.towers.query_experts, text, picture, has, self.device)
        empty = torch.zeros(len(texts), 1, *experts.shape[1:], device=self.device)
        behaviour = torch.zeros(len(texts), 1, dtype=torch.int64, device=self.device)
        embedding, _ = self.towers.query_fusion(experts, empty, behaviour, behaviour.to(torch.float32))
        result: F32 = embedding.cpu().numpy()
        return result


def _coclick_features(coclicks: CoClicks, features: F16, path: Path) -> F16:
    """Mean features of co-clicked items, float16 ``[N, 3, d]``, memory-mapped."""
    if not path.is_file():
        temporary = path.with_suffix(".tmp")
        target = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=features.shape)
        for start in range(0, len(features), _CHUNK):
            end = min(start + _CHUNK, len(features))
            target[start:end] = coclicks.mean_features(features, start, end)
        target.flush()
        temporary.replace(path)
    result: F16 = np.load(path, mmap_mode="r")
    return result
