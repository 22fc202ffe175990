"""Groups of held-out requests that are looked at by themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from artifacts.actions import ACTIONS
from artifacts.bundle.text import normalise
from artifacts.shop.holdout import Holdout
from artifacts.shop.shop import Shop
from models.evaluation.grades import Grades, JudgeGrades
from models.evaluation.heldout import KINDS, Request

Bool = npt.NDArray[np.bool_]
#: All requests that ask for something.
ALL = "all"
#: The most frequent queries that make up half of the train traffic, the next to four fifths, the rest.
_BANDS = (("head", 0.5), ("torso", 0.8))
#: Slices of the judge that go into the report, in its order.
_JUDGED = ("colour", "pattern", "picture_only", "text_only", "typo", "synonym", "head", "torso", "tail")


def slice_requests(
    shop: Shop, requests: Sequence[Request], grades: Grades | None, held_out: float
) -> dict[str, Bool]:
    """Bool masks ``[n]`` over the requests by slice, empty ones left out.

    ``all`` and each kind of query; ``head``, ``torso`` and ``tail`` of the traffic (browsing left out);
    ``cold users``, without any behaviour before the request; ``cold items``, without a behaviour in the
    train split. Where a judge knows, also: queries for a colour, a pattern, what only pictures show or only
    texts tell, misspelt ones and synonyms; users by the modality that wins them, and those without taste.
    """
    counts, seen = _train_traffic(shop, held_out)
    result = {ALL: np.array([r.kind != "browse" for r in requests], dtype=np.bool_)}
    result |= {kind: np.array([r.kind == kind for r in requests], dtype=np.bool_) for kind in KINDS}
    if isinstance(grades, JudgeGrades):
        result |= _judged(grades, requests)
    else:
        result |= _bands(requests, counts)
    result["cold users"] = result[ALL] & np.array([not r.history for r in requests], dtype=np.bool_)
    result["warm users"] = result[ALL] & ~result["cold users"]
    new = np.array([r.event.item not in seen for r in requests], dtype=np.bool_)
    result["cold items"] = result[ALL] & new
    return {name: mask for name, mask in result.items() if mask.any()}


def _train_traffic(shop: Shop, held_out: float) -> tuple[Counter[str], set[str]]:
    """How often each query was asked in the train split, and the items with a behaviour there."""
    holdout = Holdout.of(shop.events(), held_out)
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
    asked = [known.get(q, "tail") if (q := normalise(r.event.query)) else "" for r in requests]
    return {name: np.array([a == name for a in asked], dtype=np.bool_) for name in ("head", "torso", "tail")}


def _judged(grades: JudgeGrades, requests: Sequence[Request]) -> dict[str, Bool]:
    from models.synthetic.judge import UnknownQueryError

    judge = grades.judge
    found: list[frozenset[str]] = []
    likes: list[str] = []
    for request in requests:
        event = request.event
        try:
            asked = request.kind != "browse"
            found.append(judge.slices(event.query, event.picture) if asked else frozenset())
        except UnknownQueryError:
            found.append(frozenset())
        truth = None if event.user is None or request.kind == "browse" else judge.user(event.user)
        likes.append("" if truth is None else "no taste" if truth.strength == 0 else truth.modality)
    result = {name: np.array([name in f for f in found], dtype=np.bool_) for name in _JUDGED}
    result["taste"] = np.array([name not in ("", "no taste") for name in likes], dtype=np.bool_)
    for name in ("picture", "text", "balanced"):
        result[f"taste: {name}"] = np.array([like == name for like in likes], dtype=np.bool_)
    result["no taste"] = np.array([like == "no taste" for like in likes], dtype=np.bool_)
    return {name.replace("_", " "): mask for name, mask in result.items()}
