"""What stands beside the bundle in every table: BM25, popularity, and the ceilings that a judge knows.

A figure alone says little: where clicks go by popularity, no model of relevance finds more of them than an
oracle of relevance does. Ceilings answer with the ground truth of a synthetic shop; nobody could build them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from artifacts.actions import ACTIONS
from artifacts.shop.holdout import Holdout
from artifacts.shop.shop import Shop
from common.arrays import F64, I64, Bool
from models.evaluation.answers import DEPTH, Answers
from models.evaluation.bm25 import Bm25
from models.evaluation.grades import JudgeGrades
from models.evaluation.heldout import HeldOut

POPULARITY, BM25 = "popularity", "bm25"
#: What each ceiling goes by: first the true grade; among equal ones clicks, and what the user likes.
CEILINGS: tuple[str, ...] = (
    "ceiling: grade",
    "ceiling: grade, popularity",
    "ceiling: grade, popularity, taste",
)

#: Systems that are none of ours.
BASELINES: tuple[str, ...] = (POPULARITY, BM25, *CEILINGS)


def count_clicks(shop: Shop, rows: Mapping[str, int], share: float) -> F64:
    """Behaviours on each item in the train split, float64 ``[N]``; ``share`` was held out."""
    holdout = Holdout.from_events(shop.events(), share)
    counts = np.zeros(len(rows))
    for event in shop.events():
        if event.item in rows and event.action in ACTIONS.behaviours and holdout.split(event) == "train":
            counts[rows[event.item]] += 1
    return counts


def popularity(held_out: HeldOut, clicks: F64) -> Answers:
    """The items that were clicked most, the same for every request; ties in catalogue order."""
    best = np.argsort(-clicks, kind="stable")[:DEPTH]
    top: I64 = np.tile(best, (len(held_out.requests), 1))
    return Answers(POPULARITY, held_out, top, np.ones(len(top), dtype=np.bool_))


def bm25(shop: Shop, held_out: HeldOut, text: Bool) -> Answers:
    """BM25 over the item texts, for the requests of ``text`` ``[n]``, which have words alone."""
    index = Bm25.over(shop)
    queries = [request.event.query for request, asked in zip(held_out.requests, text, strict=True) if asked]
    distinct = sorted(set(queries))
    best = dict(zip(distinct, index.top(distinct, DEPTH), strict=True))
    top: I64 = np.full((len(text), min(DEPTH, index.items)), -1, dtype=np.int64)
    top[text] = np.stack([best[query] for query in queries])
    return Answers(BM25, held_out, top, text)


def ceilings(held_out: HeldOut, clicks: F64) -> Iterator[Answers]:
    """What could be found at best by what the judge knows; nothing where there is no judge.

    Args:
        held_out: the requests; of those whose grades are unknown, and of browsing, there is no ceiling.
        clicks: ``[N]``, see `count_clicks`.
    """
    grades = held_out.grades
    if not isinstance(grades, JudgeGrades):
        return
    count, depth = len(held_out.requests), min(DEPTH, len(clicks))
    # Ties of the first ceiling fall by chance, the same in every call, and not by what the order tells.
    chance = np.random.default_rng(0).random(len(clicks))
    answered = np.zeros(count, dtype=np.bool_)
    tops = [np.full((count, depth), -1, dtype=np.int64) for _ in CEILINGS]
    fame = np.log1p(clicks)
    for places in held_out.by_query:
        known = held_out.known_grades(int(places[0]))
        if known is None:
            continue
        answered[places] = True
        tops[0][places] = np.lexsort((chance, -known))[:depth]
        tops[1][places] = np.lexsort((-fame, -known))[:depth]
        for place in places.tolist():
            user = held_out.requests[place].event.user
            liked = np.zeros(len(clicks)) if user is None else grades.liking(user)
            tops[2][place] = np.lexsort((-(fame + liked), -known))[:depth]
    for name, top in zip(CEILINGS, tops, strict=True):
        yield Answers(name, held_out, top, answered)
