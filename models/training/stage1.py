"""Stage 1: the experts, each with its own loss, and their mean (paper: the multi-modality experts first)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from common.progress import Progress
from models.dataset.coclick import CoClicks
from models.dataset.training_data import TrainingData
from models.towers import Towers
from models.towers.towers import expert_scores
from models.training import ranks
from models.training.batches import QueryBatch, Sampler, encode_queries, run_experts
from models.training.companions import Companions, companion_loss
from models.training.features import PictureFeatures
from models.training.hard import HardNegatives
from models.training.loop import Losses, Schedule, Stage
from models.training.losses import hnst, hybrid, mnsce, negatives_mask
from models.training.precision import full
from models.training.rates import expert_groups, resting


def train_experts(
    towers: Towers,
    data: TrainingData,
    pictures: PictureFeatures,
    coclicks: CoClicks,
    folder: Path,
    progress: Progress,
    device: str,
) -> None:
    """Train the experts of both towers, or load what was trained before."""
    config = data.config
    stage = Stage("stage1", folder, config.seed, config.checkpoint_minutes, device, bf16=config.bf16)
    if stage.finished:
        stage.load(towers)
        return
    sampler, hard = Sampler(data, pictures, browse=False), HardNegatives(data)
    loss = config.loss
    batch = config.stage1.batch * ranks.count()
    alike = round(batch * config.data.companion_share)
    companions = Companions(coclicks) if alike and len(coclicks.indices) else None
    subwords = towers.item_experts
    if companions is not None and not hasattr(subwords, "ftatt"):
        raise ValueError("data.companion_share is for FtAtt, which a single transformer does not have")

    def items(rows: np.ndarray, rng: np.random.Generator) -> Tensor:
        picture = data.item_picture[rows]
        picture = np.where(rng.random(len(rows)) < config.data.item_picture_dropout, -1, picture)
        has = (picture >= 0).astype(np.float32)
        own = ranks.share(len(rows))
        text, feature = data.texts.batch(rows[own]), pictures.of_items(picture[own])
        return ranks.gather(run_experts(towers.item_experts, text, feature, has[own], device), len(rows))

    def queries_of(asked: QueryBatch) -> Tensor:
        own = asked.part(ranks.share(batch))
        return ranks.gather(encode_queries(towers.query_experts, own, device), batch)

    def together(rng: np.random.Generator) -> Tensor | float:
        """What co-clicks say of FtAtt's outputs; no draw and 0 where they are not to be learned from."""
        if companions is None:
            return 0.0
        rows, columns = companions.draw(alike, rng)
        ngrams = data.texts.batch(columns[ranks.share(len(columns))]).ngram_ids
        words = max(1, int((ngrams[:, :, 0] > 0).sum(axis=1).max(initial=0)))
        own = torch.from_numpy(np.ascontiguousarray(ngrams[:, :words])).to(device)
        near = ranks.gather(subwords.ftatt(own), len(columns))
        weights = torch.from_numpy(companions.weights(rows, columns)).to(device)
        itself = torch.from_numpy(rows[:, None] == columns).to(device)
        with full(device):
            near = near.float()
            return companion_loss(
                near[torch.from_numpy(np.searchsorted(columns, rows)).to(device)],
                near,
                itself,
                weights,
                scale=loss.companion_scale,
            )

    def losses(step: int, rng: np.random.Generator, generator: torch.Generator) -> Losses:
        rest = resting(config, step)
        towers.query_experts.resting = towers.item_experts.resting = rest
        asked = [m for m, name in enumerate(config.dimensions.experts) if name not in rest]
        drawn = sampler.draw(batch, rng)
        columns = np.concatenate([drawn.items, drawn.uniform])
        hard_after = step >= loss.hard_after * config.stage1.steps and loss.beta > 0
        count = loss.hard_negatives if hard_after else 0
        negatives, present = hard.draw(drawn.asked.query, count, rng)
        distinct, places = np.unique(np.concatenate([columns, negatives.ravel()]), return_inverse=True)
        encoded = items(distinct, rng)
        queries = queries_of(drawn.asked)
        with full(device):
            scores = expert_scores(queries.float(), encoded.float())
        cosines = scores[:, :, torch.from_numpy(places[: len(columns)])]
        known = torch.from_numpy(data.are_positive(drawn.asked.query, columns))
        masked = negatives_mask(torch.from_numpy(drawn.items), torch.from_numpy(columns), known).to(device)
        # Without text the text experts have nothing to say, and nothing to learn.
        said = torch.from_numpy(drawn.says.astype(np.float32))
        text = torch.from_numpy(drawn.asked.has_text.astype(np.float32))
        weights = [w.to(device) for w in (said, text, text)]
        each = [mnsce(cosines[m], masked, scale=loss.scale, weights=weights[m]) for m in range(len(cosines))]
        mean = scores[asked].mean(dim=0)
        easy = mnsce(cosines[asked].mean(dim=0), masked, scale=loss.scale, weights=weights[0])
        easy = torch.stack([each[m] for m in asked]).mean() + easy + together(rng)
        if not count:
            return {"loss": loss.alpha * easy, "vbert": each[0], "light_bert": each[1], "ftatt": each[2]}
        rows = torch.arange(batch)
        positive = mean[rows, torch.from_numpy(places[:batch])]
        far = mean[rows[:, None], torch.from_numpy(places[len(columns) :].reshape(batch, count))]
        difficult = hnst(positive, far, torch.from_numpy(present).to(device), margin=loss.margin)
        total = hybrid(easy, difficult, alpha=loss.alpha, beta=loss.beta)
        return {"loss": total, "vbert": each[0], "light_bert": each[1], "ftatt": each[2]}

    knobs = config.stage1
    schedule = Schedule(knobs.steps, knobs.rate, knobs.weight_decay, knobs.warmup, knobs.clip, knobs.ema)
    stage.run(towers, expert_groups(towers, config), schedule, losses, progress)
    towers.query_experts.resting = towers.item_experts.resting = frozenset()
