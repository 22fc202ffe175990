"""Groups of held-out requests that are looked at by themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from artifacts.actions import ACTIONS
from artifacts.bundle.text import normalise
from artifacts.shop.holdout import Holdout
from artifacts.shop.shop import Shop
from common.arrays import Bool
from models.evaluation.grades import JudgeGrades
from models.evaluation.heldout import KINDS, HeldOut, Request
from models.synthetic import RELEVANT

#: All requests that ask for something.
ALL = "all"
#: Slices of every shop that a table shows where it does not show every one.
USUAL: tuple[str, ...] = (ALL, *KINDS)
#: A query with at most so many relevant items is narrow (*inferred*): a first page holds them.
NARROW = 20
#: The most frequent queries that make up half of the train traffic, the next to four fifths, the rest.
_BANDS = (("head", 0.5), ("torso", 0.8))
#: Slices of the judge that go into the report, in its order.
_JUDGED = ("colour", "pattern", "picture_only", "text_only", "typo", "synonym", "head", "torso", "tail")


def slice_requests(shop: Shop, held_out: HeldOut, share: float) -> dict[str, Bool]:
    """Bool masks ``[n]`` over the requests by slice, empty ones left out.

    ``all`` and each kind of query; ``head``, ``torso`` and ``tail`` of the traffic (browsing left out);
    ``cold users``, without any behaviour before the request; ``cold items``, without a behaviour in the
    train split; ``unseen queries``, which nobody asked in the train split; ``narrow`` queries, with at most
    `NARROW` relevant items, and ``broad`` ones. Where a judge knows, also: queries for a colour, a pattern,
    what only pictures show or only texts tell, misspelt ones and synonyms; users by the modality that wins
    them, and those without taste; and users with a taste who ask for something broad, ``taste, broad``.
    ``share`` of the shop's events was held out by training; the others are counted.
    """
    requests, grades = held_out.requests, held_out.grades
    counts, seen = _train_traffic(shop, share)
    result = _named(USUAL, [frozenset({r.kind} if r.kind == "browse" else {r.kind, ALL}) for r in requests])
    result |= _judged(grades, requests) if isinstance(grades, JudgeGrades) else _bands(requests, counts)
    result["cold users"] = result[ALL] & np.array([not r.history for r in requests])
    result["warm users"] = result[ALL] & ~result["cold users"]
    unseen = [bool(q := normalise(r.event.query)) and not counts[q] for r in requests]
    result["unseen queries"] = result[ALL] & np.array(unseen)
    narrow, broad = _breadth(held_out)
    result["narrow"], result["broad"] = result[ALL] & narrow, result[ALL] & broad
    if "taste" in result:
        result["taste, broad"] = result["taste"] & result["broad"]
    result["cold items"] = result[ALL] & np.array([r.event.item not in seen for r in requests])
    return {name: mask for name, mask in result.items() if mask.any()}


def _breadth(held_out: HeldOut) -> tuple[Bool, Bool]:
    """Requests for few relevant items, and for more; neither where no grade is known."""
    relevant = np.full(len(held_out.requests), -1)
    for places in held_out.by_query:
        known = held_out.known_grades(int(places[0]))
        if known is not None:
            relevant[places] = (known >= RELEVANT).sum()
    return (relevant >= 0) & (relevant <= NARROW), relevant > NARROW


def _named(names: Sequence[str], slices: Sequence[frozenset[str]]) -> dict[str, Bool]:
    """Masks by name, from the names of the slices that each request is in."""
    return {name: np.array([name in found for found in slices], dtype=np.bool_) for name in names}


def _train_traffic(shop: Shop, share: float) -> tuple[Counter[str], set[str]]:
    """How often each query was asked in the train split, and the items with a behaviour there."""
    holdout = Holdout.from_events(shop.events(), share)
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    for event in shop.events():
        if event.action in ACTIONS.behaviours and holdout.split(event) == "train":
            seen.add(event.item)
            if query := normalise(event.query):
                counts[query] += 1
    return counts, seen


def bands(counts: Counter[str]) -> dict[str, str]:
    """Head, torso or tail of each query by the share of traffic of the more frequent ones; ties by name."""
    total = max(1, counts.total())
    result, before = {}, 0
    for query, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        share = before / total
        result[query] = next((name for name, edge in _BANDS if share < edge), "tail")
        before += count
    return result


def _bands(requests: Sequence[Request], counts: Counter[str]) -> dict[str, Bool]:
    known = bands(counts)
    found = [
        frozenset([known.get(query, "tail")] if (query := normalise(r.event.query)) else []) for r in requests
    ]
    return _named(("head", "torso", "tail"), found)


def _judged(grades: JudgeGrades, requests: Sequence[Request]) -> dict[str, Bool]:
    found, tastes = [], []
    for request in requests:
        event, asks = request.event, request.kind != "browse"
        found.append(grades.groups(event.query, event.picture) if asks else frozenset())
        tastes.append(_taste(*grades.judge.taste(event.user)) if asks and event.user else frozenset())
    names = ("taste", "taste: picture", "taste: text", "taste: balanced", "no taste")
    queries = {name.replace("_", " "): mask for name, mask in _named(_JUDGED, found).items()}
    return queries | _named(names, tastes)


def _taste(modality: str, strength: float) -> frozenset[str]:
    return frozenset({"no taste"} if strength == 0 else {"taste", f"taste: {modality}"})
