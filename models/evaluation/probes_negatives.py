"""Looks at hard negatives: how many are relevant after all, and how many are hard at all."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime

import numpy as np

from artifacts.actions import ACTIONS
from artifacts.bundle.text import normalise
from artifacts.shop.holdout import Holdout
from artifacts.shop.schema import Event
from models.evaluation.finding import Finding
from models.evaluation.grades import JudgeGrades
from models.evaluation.heldout import Request
from models.evaluation.subject import Subject
from models.synthetic import RELEVANT

#: A query and an item.
_Pair = tuple[str, str]
#: Shares of hard negatives that are relevant after all (*inferred*).
_FALSE, _FALSE_BROKEN = 0.1, 0.3
_PAIRS, _QUERIES = 1500, 300
#: Least share of hard negatives that are within the margin of the query's positives (*inferred*).
_HARD = 0.1


def hard_negatives(subject: Subject) -> list[Finding]:
    """How many hard negatives are relevant after all, and how many are hard at all."""
    loss = subject.bundle.manifest.training.get("loss", {})
    labelled, clicked = _low_pairs(subject, float(loss.get("low_relevance", 0.34)))
    return [_false(subject, labelled, clicked), _hardness(subject, labelled, clicked)]


def _low_pairs(subject: Subject, low: float) -> tuple[list[_Pair], set[_Pair]]:
    """Train pairs (query, item) labelled as of low relevance, and those that were clicked."""
    holdout = Holdout.from_events(subject.shop.events(), subject.bundle.manifest.preprocessing.held_out)
    labelled: dict[_Pair, None] = {}
    clicked: set[_Pair] = set()
    for event in subject.shop.events():
        pair = (normalise(event.query), event.item)
        if not pair[0] or pair[1] not in subject.retriever.rows or holdout.split(event) != "train":
            continue
        if event.relevance is not None and event.relevance <= low:
            labelled[pair] = None
        elif event.action in ACTIONS.behaviours:
            clicked.add(pair)
    return list(labelled), clicked


def _false(subject: Subject, labelled: list[_Pair], clicked: set[_Pair]) -> Finding:
    """Labelled hard negatives, and those mined by rank, that are relevant after all."""
    rates: dict[str, float] = {}
    if labelled:
        rates["clicked as well"] = sum(pair in clicked for pair in labelled) / len(labelled)
    by = "by clicks alone (no judge), so this is a lower bound"
    if isinstance(grades := subject.held_out.grades, JudgeGrades):
        by = "by the judge"
        rates |= _judged_low(subject, grades, labelled) | _judged_mined(subject, grades)
    figures = {"labelled pairs": float(len(labelled))} | rates
    name = "false hard negatives"
    if not rates:
        return Finding(name, "unknown", "no labels of low relevance and no judge", "", figures)
    worst, rate = max(rates.items(), key=lambda pair: pair[1])
    says = f"at worst {rate:.1%} ({worst}), {by}"
    if rate <= _FALSE:
        return Finding(name, "fine", says, "", figures)
    remedy = "loss.hard_ranks further down the list" if "mined" in worst else "loss.low_relevance down"
    remedy += "; loss.beta down; fewer loss.hard_negatives"
    return Finding(name, "broken" if rate > _FALSE_BROKEN else "watch", says, remedy, figures)


def _judged_low(subject: Subject, grades: JudgeGrades, labelled: list[_Pair]) -> dict[str, float]:
    # As in training, a pair that was clicked as well is no negative, but its label is wrong all the same.
    drawn = labelled[:: max(1, len(labelled) // _PAIRS)]
    wrong = [
        bool(known[subject.retriever.rows[item]] >= RELEVANT)
        for query, item in drawn
        if (known := grades.catalogue_grades(query, None)) is not None
    ]
    return {"labelled but relevant": float(np.mean(wrong))} if wrong else {}


def _judged_mined(subject: Subject, grades: JudgeGrades) -> dict[str, float]:
    first, last = subject.bundle.manifest.training.get("loss", {}).get("hard_ranks", (101, 500))
    distinct: dict[str, Request] = {}
    for request in subject.held_out.requests:
        if request.kind == "text":
            distinct.setdefault(normalise(request.event.query), request)
    some = list(distinct.values())[:_QUERIES]
    if not some or len(subject.retriever.ids) < first:
        return {}
    top = subject.retriever.top(subject.retriever.embed(some, history=False), last)[:, first - 1 :]
    wrong = [
        float((known[rows] >= RELEVANT).mean())
        for request, rows in zip(some, top, strict=True)
        if (known := grades.catalogue_grades(request.event.query, None)) is not None
    ]
    return {f"mined at ranks {first}-{last} but relevant": float(np.mean(wrong))} if wrong else {}


def _hardness(subject: Subject, labelled: list[_Pair], clicked: set[_Pair]) -> Finding:
    """How many labelled hard negatives lie within the margin of what was clicked for the same query.

    HNST learns from those alone. Where there are few, MNSCE keeps negatives apart by itself: the part of the
    catalogue that a step of it sees as negatives says how likely that is.
    """
    name, training = "hard negatives", subject.bundle.manifest.training
    loss, stage = training.get("loss", {}), training.get("stage2", {})
    uniform = float(loss.get("uniform_share", 0)) * float(stage.get("uniform", 1))
    rows, items = subject.retriever.rows, subject.retriever.items
    seen = min(1.0, float(stage.get("batch", 0)) * (1 + uniform) / len(items))
    figures = {"share of the catalogue that a step sees": seen}
    wanted: dict[str, list[str]] = defaultdict(list)
    for query, item in clicked:
        wanted[query].append(item)
    # What was clicked as well is never drawn as a negative.
    drawn = [pair for pair in labelled if pair[0] in wanted and pair not in clicked]
    drawn = drawn[:: max(1, len(drawn) // _PAIRS)]
    if not drawn:
        return Finding(name, "unknown", "no labels of low relevance beside clicks", "", figures)
    texts = list(dict.fromkeys(query for query, _ in drawn))
    asked = [Request("text", Event(datetime.now(UTC), wanted[text][0], "click", text), ()) for text in texts]
    embedded = dict(zip(texts, subject.retriever.embed(asked), strict=True))
    margin = float(loss.get("margin", 0.1))
    within = []
    for query, item in drawn:
        close = np.mean([items[rows[each]] @ embedded[query] for each in sorted(wanted[query])])
        within.append(items[rows[item]] @ embedded[query] > close - margin)
    share = figures["labelled within the margin"] = float(np.mean(within))
    says = (
        f"{share:.1%} of the labelled ones are within {margin:g} of what was clicked; "
        f"a step of MNSCE sees {seen:.1%} of the catalogue"
    )
    if share >= _HARD:
        return Finding(name, "fine", says, "", figures)
    remedy = "HNST has little to learn here: loss.margin up, or without it (loss.beta=0)"
    return Finding(name, "watch", says, remedy, figures)
