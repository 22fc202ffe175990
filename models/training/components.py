"""A start for the fusion's straight path from the items' features (``fusion.start = "components"``).

*Inferred.* The straight path is a linear map of the experts side by side, and starts as a random projection:
at 128 dimensions of 768 that loses much of what told items apart. The principal components of the catalogue
lose least. What all items share is loud in them and tells nothing, so each component is divided by a power of
its standard deviation (``fusion.whiten``).
"""

from __future__ import annotations

import numpy as np
import torch

from common.arrays import F16, F64
from models.towers import Towers

#: Items that are looked at, spread over the catalogue.
_MOST_ITEMS = 20_000
_CHUNK = 1024
#: Variance below this share of the greatest counts as this: few items do not vary in all directions.
_LEAST = 1e-4


def start_from_components(towers: Towers, features: F16, whiten: float) -> None:
    """Set the straight paths of both towers by the items' features.

    At their start both towers give vectors whose cosine is that of the experts side by side, each weighted
    as the gate begins, as near as the embedding's width allows (``whiten`` 0).

    Args:
        towers: whose fusions are to start.
        features: float16 ``[N, M, d]``, with pictures; at least one row.
        whiten: power of a component's standard deviation that it is divided by.
    """
    width = towers.query_fusion.dssm.straight.out_features
    set_straight(towers, components(towers, features, whiten, width))


def components(towers: Towers, features: F16, whiten: float, width: int) -> F64:
    """The components as a map ``[width, Md]`` of what the experts say, the same for both sides.

    Where the experts have fewer directions than ``width``, the last rows are 0.
    """
    stretch = _stretch(towers)
    rows = spread(len(features))
    mean, covariance = _moments(features, rows, stretch)
    variances, axes = np.linalg.eigh(covariance - np.outer(mean, mean))
    best = np.argsort(-variances, kind="stable")[:width]
    variances, axes = variances[best], axes[:, best]
    # The sign of an axis means nothing; it is made the same on every machine.
    axes *= np.where(axes[np.abs(axes).argmax(axis=0), np.arange(len(best))] < 0, -1.0, 1.0)
    scales = np.maximum(variances, max(variances[0] * _LEAST, 1e-12)) ** (-whiten / 2)
    start = np.zeros((width, len(stretch)))
    start[: len(best)] = (axes * scales).T * stretch
    start /= mean_length(features, start)
    return start


def set_straight(towers: Towers, start: F64) -> None:
    """Let the straight path of both towers be a map ``[e, Md]``, which for the query undoes the gate."""
    query, item = towers.query_fusion.dssm.straight, towers.item_fusion.dssm.straight
    stretch = _stretch(towers)
    for layer, factor in ((query, 1 / stretch**2), (item, np.ones_like(stretch))):
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(start * factor))


def _stretch(towers: Towers) -> F64:
    """Roots of what the gate begins with, for each of the experts' numbers ``[Md]``."""
    count, width = towers.query_fusion.count, towers.query_fusion.dssm.straight.in_features
    return np.repeat(np.sqrt(_gate_weights(towers, count)), width // count)


def _gate_weights(towers: Towers, experts: int) -> F64:
    """What the gate starts with, times the number of experts, as the query's fusion applies it."""
    if not towers.query_fusion.use_gate:
        return np.ones(experts)
    bias = towers.query_fusion.gate.out.bias.detach().cpu()
    weights: F64 = (torch.softmax(bias, dim=0) * experts).double().numpy()
    return weights


def spread(count: int) -> list[slice]:
    """Rows of at most so many items, in parts that lie evenly over the catalogue."""
    parts = -(-count // _CHUNK)
    taken = np.linspace(0, parts - 1, min(parts, _MOST_ITEMS // _CHUNK)).astype(int)
    return [slice(part * _CHUNK, (part + 1) * _CHUNK) for part in dict.fromkeys(taken.tolist())]


def _moments(features: F16, rows: list[slice], stretch: F64) -> tuple[F64, F64]:
    """Mean ``[Md]`` and mean square ``[Md, Md]`` of the stretched features."""
    count, width = 0, len(stretch)
    total, square = np.zeros(width), np.zeros((width, width))
    for part in rows:
        x = features[part].reshape(-1, width).astype(np.float64) * stretch
        count += len(x)
        total += x.sum(axis=0)
        square += x.T @ x
    return total / count, square / count


def mean_length(features: F16, start: F64) -> float:
    """The mean length that items have by a start: embeddings are to begin near 1, as by a random one."""
    first = features[:_CHUNK].reshape(-1, start.shape[1]).astype(np.float64)
    length = float(np.linalg.norm(first @ start.T, axis=1).mean())
    return length or 1.0
