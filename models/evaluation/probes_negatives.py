"""Looks at hard negatives: how many are relevant after all, and how many are hard at all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from artifacts.actions import ACTIONS
from artifacts.bundle.text import normalise
from artifacts.shop.holdout import Holdout
from artifacts.shop.schema import Event
from models.evaluation.finding import Finding, Verdict
from models.evaluation.grades import RELEVANT
from models.evaluation.heldout import Request
from models.evaluation.subject import Subject

#: Shares of hard negatives that are relevant after all (*inferred*).
_FALSE, _FALSE_BROKEN = 0.1, 0.3
_PAIRS, _QUERIES = 1500, 300
#: Least share of hard negatives that are within the margin of the query's positives (*inferred*).
_HARD = 0.1


def false_negatives(subject: Subject) -> list[Finding]:
    """How many hard negatives are relevant after all: labelled ones, and those mined by rank."""
    loss = subject.training.get("loss", {})
    low = float(loss.get("low_relevance", 0.34))
    labelled, clicked = _low_pairs(subject, low)
    figures: dict[str, float] = {"labelled pairs": float(len(labelled))}
    if labelled:
        figures["clicked as well"] = len([p for p in labelled if p in clicked]) / len(labelled)
    judged = subject.held_out.grades is not None and subject.held_out.grades.source == "judge"
    if judged:
        figures |= _judged_low(subject, labelled) | _judged_mined(subject, loss.get("hard_ranks", (101, 500)))
    rates = {n: v for n, v in figures.items() if n != "labelled pairs"}
    if not rates:
        return [
            Finding("false hard negatives", "unknown", "no labels of low relevance and no judge", "", figures)
        ]
    name, rate = max(rates.items(), key=lambda pair: pair[1])
    by = "by the judge" if judged else "by clicks alone (no judge), so this is a lower bound"
    says = f"at worst {rate:.1%} ({name}), {by}"
    verdict: Verdict = "broken" if rate > _FALSE_BROKEN else "watch" if rate > _FALSE else "fine"
    remedy = ""
    if verdict != "fine":
        remedy = "loss.low_relevance down" if "mined" not in name else "loss.hard_ranks further down the list"
        remedy += "; loss.beta down; fewer loss.hard_negatives"
    return [Finding("false hard negatives", verdict, says, remedy, figures)]


def hardness(subject: Subject) -> list[Finding]:
    """How many hard negatives lie within the margin of what was clicked for the same query.

    HNST learns from those alone. Where there are few, MNSCE keeps negatives apart by itself: the part of the
    catalogue that a step of it sees as negatives says how likely that is.
    """
    training = subject.training
    loss, stage = training.get("loss", {}), training.get("stage2", {})
    margin, low = float(loss.get("margin", 0.1)), float(loss.get("low_relevance", 0.34))
    labelled, clicked = _low_pairs(subject, low)
    wanted: dict[str, list[str]] = {}
    for query, item in clicked:
        wanted.setdefault(query, []).append(item)
    # What was clicked as well is never drawn as a negative.
    drawn = [pair for pair in labelled if pair[0] in wanted and pair not in clicked]
    drawn = drawn[:: max(1, len(drawn) // _PAIRS)]
    seen = float(stage.get("batch", 0)) * (
        1 + float(loss.get("uniform_share", 0)) * float(stage.get("uniform", 1))
    )
    figures = {"share of the catalogue that a step sees": min(1.0, seen / len(subject.retriever.ids))}
    if not drawn:
        return [Finding("hard negatives", "unknown", "no labels of low relevance beside clicks", "", figures)]
    texts = list(dict.fromkeys(query for query, _ in drawn))
    asked = [Request("text", Event(datetime.now(UTC), wanted[text][0], "click", text), ()) for text in texts]
    embedded = dict(zip(texts, subject.retriever.embed(asked), strict=True))
    rows, items = subject.retriever.rows, subject.retriever.items
    within = []
    for query, item in drawn:
        close = np.mean([items[rows[each]] @ embedded[query] for each in sorted(wanted[query])])
        within.append(items[rows[item]] @ embedded[query] > close - margin)
    share = figures["labelled within the margin"] = float(np.mean(within))
    sees = f"a step of MNSCE sees {figures['share of the catalogue that a step sees']:.1%} of the catalogue"
    says = f"{share:.1%} of the labelled ones are within {margin:g} of what was clicked; {sees}"
    if share >= _HARD:
        return [Finding("hard negatives", "fine", says, "", figures)]
    remedy = "HNST has little to learn here: loss.margin up, or without it (loss.beta=0)"
    return [Finding("hard negatives", "watch", says, remedy, figures)]


def _low_pairs(subject: Subject, low: float) -> tuple[list[tuple[str, str]], set[tuple[str, str]]]:
    """Train pairs (query, item) labelled as of low relevance, and those that were clicked."""
    holdout = Holdout.of(subject.shop.events(), subject.preprocessing.held_out)
    labelled: dict[tuple[str, str], None] = {}
    clicked: set[tuple[str, str]] = set()
    for event in subject.shop.events():
        pair = (normalise(event.query), event.item)
        if not pair[0] or pair[1] not in subject.retriever.rows or holdout.split(event) != "train":
            continue
        if event.relevance is not None and event.relevance <= low:
            labelled[pair] = None
        elif event.action in ACTIONS.behaviours:
            clicked.add(pair)
    return list(labelled), clicked


def _judged_low(subject: Subject, labelled: list[tuple[str, str]]) -> dict[str, float]:
    # As in training, a pair that was clicked as well is no negative, but its label is wrong all the same.
    rows = subject.retriever.rows
    drawn = labelled[:: max(1, len(labelled) // _PAIRS)]
    wrong = [
        bool(known[rows[item]] >= RELEVANT)
        for query, item in drawn
        if subject.held_out.grades is not None
        and (known := subject.held_out.grades.of_catalogue(query, None)) is not None
    ]
    return {"labelled but relevant": float(np.mean(wrong))} if wrong else {}


def _judged_mined(subject: Subject, ranks: Sequence[int]) -> dict[str, float]:
    first, last = ranks
    distinct: dict[str, Request] = {}
    for request in subject.held_out.requests:
        if request.kind == "text":
            distinct.setdefault(normalise(request.event.query), request)
    some = list(distinct.values())[:_QUERIES]
    if not some or len(subject.retriever.ids) < first:
        return {}
    top = subject.retriever.top(subject.retriever.embed(some, history=False), last)[:, first - 1 :]
    wrong = []
    for request, rows in zip(some, top, strict=True):
        known = (
            subject.held_out.grades.of_catalogue(request.event.query, None)
            if subject.held_out.grades is not None
            else None
        )
        if known is not None:
            wrong.append(float((known[rows] >= RELEVANT).mean()))
    return {f"mined at ranks {first}-{last} but relevant": float(np.mean(wrong))} if wrong else {}
