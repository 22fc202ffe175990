"""A narrow start that follows the experts side by side (``fusion.start = "distilled"``).

*Inferred.* Principal components keep what tells items apart from each other, whatever is asked for. Here the
straight path goes on from them: it learns to order items as the cosine of all components does, for queries
that are made of titles (`made_queries`) and those of the log. Neither clicks nor labels are read. Both towers
learn one map, so that half as many numbers are learnt, and from fewer queries.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artifacts.bundle.text import normalise
from common.arrays import F16, F32, F64, I64
from common.progress import stage_progress
from models.towers import Towers
from models.towers.experts.layers import unit
from models.towers.training_config import StageConfig
from models.training.components import components, mean_length, set_straight, spread
from models.training.encode import run_experts, to_device
from models.training.loop import Losses, Stage
from models.training.made_queries import made_queries
from models.training.precision import full
from models.training.run import Run
from models.training.stored import stored_array

_QUERIES = "distil_queries.npy"
#: Queries that are encoded together, and items.
_CHUNK = 1024
#: Titles alike that a query may be made of beside its own.
_ALIKE = 10


def start_distilled(run: Run, towers: Towers, features: F16) -> None:
    """Set the straight paths of both towers; taught before, they are loaded.

    Args:
        run: the run; its stage ``distil`` resumes.
        towers: whose experts are trained already.
        features: float16 ``[N, M, d]``, of all items; at least one.
    """
    config, width = run.config, towers.query_fusion.dssm.straight.out_features
    map_ = nn.Linear(features[0].size, width, bias=False)
    stage = Stage("distil", run)
    if not stage.finished:
        wide = components(towers, features, config.fusion.whiten, features[0].size)
        with torch.no_grad():
            map_.weight.copy_(torch.from_numpy(components(towers, features, config.fusion.whiten, width)))
        _learn(run, towers, features, map_.to(run.device), stage, wide)
    else:
        stage.load(map_.to(run.device))
    (run.folder / _QUERIES).unlink(missing_ok=True)
    start = map_.weight.detach().double().cpu().numpy()
    set_straight(towers, start / mean_length(features, start))


def _learn(run: Run, towers: Towers, features: F16, map_: nn.Linear, stage: Stage, wide: F64) -> None:
    """Train the map ``[e, Md]`` to order items as the wide one ``[Md, Md]``."""
    knobs = run.config.distil
    known = np.concatenate(
        [np.arange(part.start, min(part.stop, len(features))) for part in spread(len(features))]
    )
    teacher = torch.from_numpy(wide.astype(np.float32)).to(run.device)
    # What steps rank, by the wide map and as the experts say it.
    aims = torch.cat([_wide(teacher, _tensor(run, features[part])) for part in _parts(known)])
    texts, sources = _texts(run, known, aims)
    asked = _encoded(run, towers, texts)

    def losses(step: int, rng: np.random.Generator, generator: torch.Generator) -> Losses:
        rows = np.sort(rng.integers(len(texts), size=knobs.batch))
        ranked = _ranked(len(known), sources[rows], knobs.items, rng)
        queries, items = _tensor(run, asked[rows]), _tensor(run, features[known[ranked]])
        with full(run.device):
            with torch.no_grad():
                aim = _wide(teacher, queries) @ aims[to_device(ranked, run.device)].T
            found = unit(map_(queries)) @ unit(map_(items)).T
            shares = F.softmax(aim / knobs.temperature, dim=1)
            told = F.log_softmax(found / knobs.temperature, dim=1)
            return {"divergence": F.kl_div(told, shares, reduction="batchmean")}

    schedule = StageConfig(
        steps=knobs.steps, batch=knobs.batch, rate=knobs.rate, weight_decay=0.0, ema=knobs.ema
    )
    stage.run(map_, [{"params": list(map_.parameters()), "factor": 1.0}], schedule, losses)


def _texts(run: Run, known: I64, aims: Tensor) -> tuple[list[str], I64]:
    """Queries, made ones first, and the place in ``known`` of the title that each is made of, else -1."""
    data, knobs = run.data, run.config.distil
    rng = np.random.default_rng((run.config.seed, 0))
    titles = [normalise(data.title(row)) for row in known.tolist()]
    made, sources = made_queries(titles, knobs.made_queries, _alike(aims, rng), rng)
    log = data.queries[1:]  # the first is the empty one
    if len(log) > knobs.log_queries:
        log = [log[row] for row in np.sort(rng.permutation(len(log))[: knobs.log_queries]).tolist()]
    return [*made, *log] or [""], np.array([*sources, *[-1] * len(log)] or [-1], dtype=np.int64)


def _alike(aims: Tensor, rng: np.random.Generator) -> Callable[[int], int]:
    """One of the nearest others of an item, by chance."""
    count = min(_ALIKE, len(aims) - 1)
    if not count:
        return lambda place: place
    near = []
    for start in range(0, len(aims), _CHUNK):
        part = aims[start : start + _CHUNK] @ aims.T
        part[torch.arange(len(part)), torch.arange(start, start + len(part))] = -2.0
        near.append(part.topk(count, dim=1).indices.cpu().numpy())
    found = np.concatenate(near)
    return lambda place: int(found[place, rng.integers(count)])


def _encoded(run: Run, towers: Towers, texts: list[str]) -> F16:
    """What the query's experts say of texts: float16 ``[Q, M, d]``, memory-mapped."""
    dims, experts = run.config.dimensions, towers.query_experts

    @torch.no_grad()
    def fill(target: F16, rows: slice) -> None:
        part = run.data.text.queries(texts[rows])
        none = np.zeros((rows.stop - rows.start, run.config.picture.feature_dim), dtype=np.float32)
        output = run_experts(experts, part, none, none[:, 0], run.device)
        target[rows] = output.cpu().numpy().astype(np.float16)

    experts.eval()
    shape = (len(texts), len(dims.experts), dims.expert_dim)
    progress = stage_progress(run.progress, "made queries")
    return stored_array(run.folder / _QUERIES, np.float16, shape, fill, _CHUNK, progress)


def _ranked(count: int, sources: I64, most: int, rng: np.random.Generator) -> I64:
    """Places of the items that a step ranks: all, or those that its queries are made of and others."""
    if count <= most:
        return np.arange(count)
    own = np.unique(sources[sources >= 0])[:most]
    others = np.setdiff1d(rng.permutation(count)[:most], own)[: most - len(own)]
    return np.union1d(own, others)


def _parts(rows: I64) -> list[I64]:
    return [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]


def _tensor(run: Run, features: F16 | F32) -> Tensor:
    """Features ``[n, M, d]`` side by side, float32 ``[n, Md]``."""
    return to_device(features.reshape(len(features), -1).astype(np.float32), run.device)


def _wide(teacher: Tensor, features: Tensor) -> Tensor:
    return unit(features @ teacher.T)
