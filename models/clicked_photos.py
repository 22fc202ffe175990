"""Photos that shoppers searched with and then clicked an item: further pictures of that item."""

from __future__ import annotations

from collections import defaultdict, deque

from artifacts.actions import ACTIONS
from artifacts.embeddings import Behaviours
from artifacts.shop.holdout import Holdout
from artifacts.shop.shop import Shop

#: Newest photos of an item that count. *Inferred*: it bounds what embedding costs; old photos show old packs.
MOST = 32


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
