"""The teacher's training, and how well it does on queries that it never saw."""

from __future__ import annotations

import json
import logging

import numpy as np
import torch
from torch.nn import functional as F

from common.arrays import F32
from common.files import replace_text
from models.towers.training_config import StageConfig
from models.training import ranks
from models.training.encode import to_device
from models.training.features import PictureFeatures
from models.training.loop import Losses, Stage
from models.training.precision import full
from models.training.run import Run, TrainError
from models.training.teacher.cross_encoder import CrossEncoder
from models.training.teacher.pairs import PairSampler
from models.training.teacher.teacher import FIGURES, Teacher, pair_inputs

log = logging.getLogger("mrse.training")

#: A teacher that tells answers from near misses less often than this is of little use (*inferred*).
_POOR = 0.7


def train_teacher(run: Run, pictures: PictureFeatures) -> Teacher:
    """Train the teacher, or load what was trained before.

    Raises:
        TrainError: there is no click for a query to learn from.
    """
    config, data = run.config, run.data
    torch.manual_seed(config.seed)
    module = CrossEncoder(data.vocabulary, config.picture.feature_dim, config.teacher).to(run.device)
    stage, teacher = Stage("teacher", run), Teacher(module, data, pictures, run.device)
    if stage.finished and (run.folder / FIGURES).is_file():
        stage.load(module)
        module.eval()
        return teacher
    sampler = PairSampler(data)
    if not len(sampler):
        raise TrainError("a teacher learns from clicks for words, of which there are none: train without it")
    ids = data.text.queries(data.queries).input_ids

    def losses(step: int, rng: np.random.Generator, generator: torch.Generator) -> Losses:
        pairs = sampler.draw(config.teacher.batch, rng)
        inputs = pair_inputs(data, pictures, ids, pairs.query, pairs.item)
        logits = module(*(to_device(each, run.device) for each in inputs))
        with full(run.device):
            graded = to_device(pairs.grade, run.device)
            return {"loss": F.binary_cross_entropy_with_logits(logits.float(), graded)}

    knobs = StageConfig(steps=config.teacher.steps, batch=config.teacher.batch, rate=config.teacher.rate)
    stage.run(module, [{"params": list(module.parameters()), "factor": 1.0}], knobs, losses)
    if ranks.leads():
        good, bad = sampler.measured()
        found = auc(teacher.grade(good.query, good.item), teacher.grade(bad.query, bad.item))
        if found < _POOR:
            log.warning(
                "the teacher tells answers from near misses in %.0f%% only: do without it", 100 * found
            )
        replace_text(run.folder / FIGURES, json.dumps({"auc": found, "pairs": len(good.query)}))
    return teacher


def auc(good: F32, bad: F32) -> float:
    """How often a good pair is graded above the bad one of its query, ties half; 0.5 where there are none."""
    return float(np.mean((good > bad) + 0.5 * (good == bad))) if len(good) else 0.5
