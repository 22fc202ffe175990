"""Photos that shoppers searched with and then clicked an item: further pictures of that item."""

from __future__ import annotations

from collections import defaultdict, deque

import numpy as np

from artifacts.actions import ACTIONS
from artifacts.bundle import photo_vectors
from artifacts.embeddings import Behaviours
from artifacts.shop.holdout import Holdout
from artifacts.shop.shop import Shop
from common.arrays import F32

#: Newest photos of an item that count. *Inferred*: it bounds what embedding costs; old photos show old packs.
MOST = 32
#: What an item's own picture counts for at least, of 1. *Inferred*, the best of five on one half of the train
#: photos of `benchmarks.grocery` asked by the other: products are found by their own pictures again (1.00
#: first, and 0.81 where each picture counts alike), and by shoppers' photos as often as before (0.956).
OWN = 0.2


def clicked_photos(shop: Shop, held_out: float, behaviours: Behaviours, least: int) -> dict[str, list[str]]:
    """The newest photos of each item that has at least ``least``, at most `MOST`, by the item's id.

    A photo that led to several items is of none of them: a shopper looked around.

    Args:
        shop: whose events are read.
        held_out: share of the newest behaviours that is val, and again test, where the file marks no split.
        behaviours: ``train``: of the train split; ``all``: the held-out ones too.
        least: photos that make it worth while; 0 for no item at all.

    Raises:
        DataError: an event cannot be read.
    """
    if not least:
        return {}
    holdout = Holdout.from_events(shop.events(), held_out)
    shown: dict[str, set[str]] = defaultdict(set)
    for event in shop.events():
        if event.picture is None or event.query or event.action not in ACTIONS.behaviours:
            continue
        if behaviours == "all" or holdout.split(event) == "train":
            shown[event.picture].add(event.item)
    found: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=MOST))
    for photo, items in shown.items():
        if len(items) == 1:
            found[next(iter(items))].append(photo)
    return {item: list(photos) for item, photos in found.items() if len(photos) >= least}


def mean_photo(vectors: F32, own: bool) -> F32:
    """The direction between an item's pictures, float32 ``[p]`` of unit length.

    Args:
        vectors: unit vectors ``[n, p]``.
        own: whether the first is the item's own picture; it counts as any other, but for `OWN` at least.
    """
    weights = np.ones(len(vectors), dtype=np.float32)
    if own and len(vectors) > 1:
        weights[0] = max(1.0, OWN / (1 - OWN) * (len(vectors) - 1))
    mean: F32 = photo_vectors((weights @ vectors)[None])[0]
    return mean
