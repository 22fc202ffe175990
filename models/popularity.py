"""How popular the items of a shop are, from its event log."""

from __future__ import annotations

import numpy as np

from artifacts.embeddings import Behaviours
from artifacts.popularity import PopularitySpec
from artifacts.shop.shop import Shop
from common.arrays import F64
from common.progress import Progress, silent
from models.dataset.log import TRAIN, read_log


def popularity_of(
    shop: Shop,
    half_life_days: float,
    held_out: float,
    behaviours: Behaviours = "train",
    progress: Progress = silent,
) -> tuple[PopularitySpec, F64] | None:
    """The popularity of each item, float64 ``[N]`` in catalogue order, 0 where nobody did anything.

    Args:
        shop: its behaviours are counted, also those without a user.
        half_life_days: see `PopularitySpec`.
        held_out: share of the newest behaviours that is val, and again test, where the file marks no split.
        behaviours: ``train``: of the train split; ``all``: the held-out ones too.
        progress: told the events that are read.

    Returns:
        how it was counted, as of the newest behaviour, and the values; None where there is no behaviour.

    Raises:
        DataError: a row of items or events cannot be read.
    """
    rows = {item.id: row for row, item in enumerate(shop.items())}
    log = read_log(shop, rows, held_out, progress=progress)
    counted = (log["item"] >= 0) & (log["behaviour"] > 0)
    if behaviours == "train":
        counted &= log["split"] == TRAIN
    item, at = log["item"][counted], log["at"][counted].astype(np.float64)
    if not len(item):
        return None
    spec = PopularitySpec(half_life_days=half_life_days, as_of=float(at.max()))
    return spec, np.bincount(item, spec.worth(at), minlength=len(rows)).astype(np.float64)
