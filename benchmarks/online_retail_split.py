"""The protocol of `benchmarks.online_retail`: what is held out, the baselines, the figures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from artifacts.bundle import Behaviour
from artifacts.shop.schema import Event
from artifacts.shop.shop import Shop
from artifacts.shop.writer import ShopWriter

_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Customer:
    """One customer of at least two invoices: what is to be found, and everything bought before it.

    ``bought`` is in order of time. A ``target`` counts an item once.
    """

    user: str
    at: datetime
    target: frozenset[str]
    bought: tuple[Behaviour, ...]

    @property
    def own(self) -> frozenset[str]:
        """The items bought before."""
        return frozenset(b.item_id for b in self.bought)

    @property
    def new(self) -> frozenset[str]:
        """The items to be found that were not bought before."""
        return self.target - self.own


def hold_out(shop: Shop, folder: Path, *, validation: bool) -> Shop:
    """Write a shop whose ``test`` split is the last invoice of each customer who has another before it.

    Args:
        shop: as `artifacts.shop.importers.import_online_retail` makes it.
        folder: of the shop to write.
        validation: for choosing settings: the last invoices are left out altogether, so that the last but
            one is held out.
    """
    events = list(shop.events())
    if validation:
        last: dict[str | None, list[Event]] = defaultdict(list)
        events = [event for event in events if event.split != "test"]
        for event in events:
            before = last[event.user]
            if not before or event.ts > before[0].ts:
                last[event.user] = [event]
            elif event.ts == before[0].ts:
                before.append(event)
        held_out = {id(event) for found in last.values() for event in found}
    else:
        held_out = {id(event) for event in events if event.split == "test"}
    returning = {event.user for event in events if id(event) not in held_out}
    with ShopWriter(folder, shop.schema) as writer:
        for item in shop.items():
            writer.add_item(item)
        # The one invoice of a customer is no target, for nothing comes before it, but it may be learned from.
        for event in sorted(events, key=lambda event: event.ts):
            split = "test" if id(event) in held_out and event.user in returning else "train"
            writer.add_event(replace(event, split=split))
    return Shop.open(folder)


def customers(events: Iterable[Event]) -> list[Customer]:
    """Everyone with something held out, in the order of their names."""
    bought: dict[str, list[Behaviour]] = defaultdict(list)
    wanted: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.user is None:
            continue
        if event.split == "test":
            wanted[event.user].append(event)
        else:
            bought[event.user].append(Behaviour(event.item, event.action, event.ts))
    return [
        Customer(
            user,
            min(event.ts for event in wanted[user]),
            frozenset(event.item for event in wanted[user]),
            tuple(sorted(bought[user], key=lambda b: b.ts or _BEFORE_ALL)),
        )
        for user in sorted(wanted)
        if bought[user]
    ]


def popularity(events: Iterable[Event]) -> list[str]:
    """Items by purchases in the train split, most often bought first, equal ones in order of their ids."""
    counts = Counter(event.item for event in events if event.split != "test")
    return sorted(counts, key=lambda item: (-counts[item], item))


def own_first(customer: Customer, popular: Sequence[str]) -> list[str]:
    """The customer's own items, most often bought first, the more recent of equal ones first; then the
    popular ones."""
    times: dict[str, list[float]] = {}
    for place, behaviour in enumerate(customer.bought):
        times.setdefault(behaviour.item_id, [0, 0])
        times[behaviour.item_id] = [times[behaviour.item_id][0] + 1, place]
    own = sorted(times, key=lambda item: times[item], reverse=True)
    return [*own, *(item for item in popular if item not in times)]


def recall_at(answer: Sequence[str], wanted: frozenset[str], k: int) -> float:
    """Share of the wanted items in the first ``k``."""
    return len(wanted.intersection(answer[:k])) / len(wanted)


@dataclass(frozen=True)
class Figures:
    """Recall@K of every customer: ``all``, and of ``new`` items only, own items taken off the list first
    (NaN where nothing new was bought)."""

    all: np.ndarray
    new: np.ndarray


def figures(found: Callable[[Customer], Sequence[str]], asked: Sequence[Customer], k: int) -> Figures:
    """Figures of a system that gives a list, best first, long enough to lose the own items."""
    whole, fresh = [], []
    for customer in asked:
        answer = found(customer)
        whole.append(recall_at(answer, customer.target, k))
        others = [item for item in answer if item not in customer.own]
        fresh.append(recall_at(others, customer.new, k) if customer.new else np.nan)
    return Figures(np.array(whole), np.array(fresh))
