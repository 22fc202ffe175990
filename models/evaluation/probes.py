"""Looks at the model: what each expert adds, what history adds, whether vectors collapsed."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np

from artifacts.actions import ACTIONS
from artifacts.bundle import ItemTower, PortraitBatch
from common.arrays import F32, Bool
from models.evaluation.collapse import alignment, effective_rank, similarity, uniformity
from models.evaluation.finding import RESAMPLES, Finding, K, Verdict
from models.evaluation.statistics import Interval, difference
from models.evaluation.subject import Subject

_DRAWN = 1500
#: Bounds of the verdicts, all *inferred*. An expert is idle when recall loses less than this share of itself
#: without it, and rules alone when no other expert's loss is a tenth of its own.
_IDLE, _ALONE = 0.01, 0.1
#: Least share of requests with a history.
_COVERAGE = 0.3
#: Least share of a space's dimensions that are used, and most that two experts may say the same.
_RANK, _SAME = 0.1, 0.9
_UNIFORM = -1.0


def contributions(subject: Subject) -> list[Finding]:
    """Recall with one expert zeroed before fusion, on both sides, beside recall with all.

    An expert's share of the similarity is what the contrast loses without it (`Subject.contrast`), over what
    it loses without each of them in turn.
    """
    tower = subject.retriever.tower
    inputs = list(subject.retriever.fusion_inputs(subject.held_out.requests))
    outputs = [tower.fuse(*part) for part in inputs]
    whole = subject.recall(np.concatenate([part.embedding for part in outputs]), K)
    gate = np.concatenate([part.gate for part in outputs]).mean(axis=0)
    figures = {f"Recall@{K}": whole.value}
    every, drops = subject.contrast(np.concatenate([part.embedding for part in outputs])), dict[str, float]()
    losses: dict[str, Interval] = {}
    for place, name in enumerate(subject.bundle.manifest.dimensions.experts):
        queries = np.concatenate([tower.fuse(*_without(place, *part)).embedding for part in inputs])
        items = _items_without(subject, place)
        less = subject.recall(queries, K, items=items)
        drops[name] = max(0.0, every - subject.contrast(queries, items))
        losses[name] = difference(whole, less, resamples=RESAMPLES)
        figures |= {f"lost without {name}": losses[name].value, f"gate of {name}": float(gate[place])}
    total = sum(drops.values())
    figures |= {f"share of {name}": drop / total if total > 0 else 0.0 for name, drop in drops.items()}
    idle = [name for name, gap in losses.items() if gap.value < _IDLE * whole.value or gap.low <= 0]
    strongest = max(losses, key=lambda name: losses[name].value)
    rest = [gap.value for name, gap in losses.items() if name != strongest]
    verdict: Verdict = "fine"
    says, remedy = "recall falls without any one of the experts", ""
    if whole.value <= 0:
        verdict, says = "broken", "nothing that was clicked is found at all"
        remedy = "train longer; check that the bundle is of this shop"
    elif idle and rest and max(rest) < _ALONE * losses[strongest].value:
        verdict = "broken"
        says = f"{strongest} does the work alone; without any of the others recall stays as it is"
        remedy = (
            f"stage1.steps up; a lower rate for stage 2; see whether {strongest} alone fits the train set"
        )
    elif idle:
        verdict = "watch"
        says = f"recall does not fall without {', '.join(idle)} (loss under 1%, or its interval meets 0)"
        remedy = f"check its inputs (pictures, texts); `mrse ablate` with switches.{idle[0]}=false; drop it"
    return [Finding("expert contributions", verdict, says, remedy, figures)]


def _without(place: int, experts: F32, portraits: PortraitBatch) -> tuple[F32, PortraitBatch]:
    """What the fusion reads with one expert zeroed, in the portraits too."""
    experts, features = experts.copy(), portraits.features.copy()
    experts[:, place], features[:, :, place] = 0, 0
    return experts, replace(portraits, features=features)


def _items_without(subject: Subject, place: int) -> F32:
    """Item embeddings ``[N, e]`` with one expert zeroed."""
    tower, whole = ItemTower(subject.bundle), subject.retriever.features
    parts = []
    for start in range(0, len(whole), 1024):
        features = whole[start : start + 1024].astype(np.float32)
        coclick = subject.coclicks.mean_features(whole, start, start + len(features))
        features[:, place], coclick[:, place] = 0, 0
        clicked = subject.coclicks.statistics(slice(start, start + len(features)))
        parts.append(tower.embeddings(features, coclick, clicked))
    return np.concatenate(parts)


def history(subject: Subject) -> list[Finding]:
    """How many requests have a history, how long it is, and what it adds where there is one."""
    requests = subject.held_out.requests
    lengths = np.array([sum(b.item_id in subject.retriever.rows for b in r.history) for r in requests])
    have = lengths > 0
    actions = [b.action for r in requests for b in r.history]
    share = float(have.mean())
    figures = {
        "share with a user": float(np.mean([r.event.user is not None for r in requests])),
        "share with history": share,
        "median length": float(np.median(lengths[have])) if have.any() else 0.0,
        "share at full depth": float((lengths >= subject.bundle.manifest.dimensions.history).mean()),
    }
    figures |= {f"share of {a}": actions.count(a) / max(1, len(actions)) for a in ACTIONS.behaviours}
    few = share < _COVERAGE
    says = f"{'only ' if few else ''}{share:.0%} of the requests come with a history"
    remedy = "log user ids with searches; keep a longer log; data.query_dropout down" if few else ""
    coverage = Finding("history coverage", "watch" if few else "fine", says, remedy, figures)
    return [coverage, _history_gain(subject, have)]


def _history_gain(subject: Subject, have: Bool) -> Finding:
    # Browsing asks for nothing, so without a history there is no query at all.
    asks = np.array([r.kind != "browse" for r in subject.held_out.requests])
    places = np.flatnonzero(have & asks)
    if not len(places):
        return Finding("history gain", "unknown", "no request has both a query and a history")
    some = [subject.held_out.requests[place] for place in places.tolist()]
    both, bare = (
        subject.recall(subject.retriever.embed(some, history=on), K, places) for on in (True, False)
    )
    gap = difference(both, bare, resamples=RESAMPLES)
    figures = {"with": both.value, "without": bare.value, "gain": gap.value, "low": gap.low, "high": gap.high}
    says = f"Recall@{K} {gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f}) by the history"
    verdict: Verdict = "fine"
    remedy = ""
    if gap.high < 0:
        verdict, says = "broken", f"history does harm: {says}"
        remedy = "data.history_dropout up; data.same_item_days up; stage2.steps up"
    elif gap.low <= 0:
        verdict, says = "watch", f"no gain that can be told from none: {says}"
        remedy = "a longer log; dimensions.history up; data.history_dropout down; more requests to measure on"
    return Finding("history gain", verdict, says, remedy, figures)


def collapse(subject: Subject) -> list[Finding]:
    """Dimensions that are used, alignment and uniformity of the embeddings."""
    items = subject.retriever.items[_drawn(len(subject.retriever.features))]
    places, some = subject.sample(_DRAWN)
    queries = subject.retriever.embed(some)
    rank, even = effective_rank(items), uniformity(items)
    figures = {
        "effective rank of items": rank,
        "effective rank of queries": effective_rank(queries),
        "alignment": alignment(queries, subject.retriever.items[subject.held_out.wanted[places]]),
        "uniformity of items": even,
    }
    says = f"{rank:.0f} of {items.shape[1]} dimensions are used"
    # No set of n points spans more than n - 1 dimensions.
    if rank >= _RANK * min(items.shape[1], len(items) - 1) and even <= _UNIFORM:
        return [Finding("embedding collapse", "fine", says, "", figures)]
    says = f"item embeddings huddle: {says}, uniformity {even:.2f}"
    remedy = "loss.scale up; loss.uniform_share up; larger batches; loss.beta down"
    return [Finding("embedding collapse", "broken" if rank < 2 else "watch", says, remedy, figures)]


def correlation(subject: Subject) -> list[Finding]:
    """Whether two experts say the same of the items, or one says the same of every item."""
    names = subject.bundle.manifest.dimensions.experts
    drawn = subject.retriever.features[_drawn(len(subject.retriever.features))].astype(np.float32)
    features = {name: drawn[:, place] for place, name in enumerate(names)}
    ranks = {name: effective_rank(found) for name, found in features.items()}
    alike = {f"{a} ~ {b}": similarity(features[a], features[b]) for a, b in combinations(names, 2)}
    silent = [name for name, rank in ranks.items() if rank < 1]
    same = [pair for pair, value in alike.items() if value > _SAME]
    verdict: Verdict = "fine"
    says, remedy = "each expert sees something of its own", ""
    if silent:
        verdict, says = "broken", f"{', '.join(silent)} gives the same for every item"
        remedy = "check that its switch is on and its inputs are there"
    elif same:
        verdict, says = "watch", f"experts say the same: {', '.join(same)}"
        remedy = "experts.dropout up; drop one and see (`mrse ablate`)"
    figures = {f"effective rank of {name}": rank for name, rank in ranks.items()} | alike
    return [Finding("expert correlation", verdict, says, remedy, figures)]


def _drawn(items: int) -> list[int]:
    """Rows of items that are looked at, the same in every probe."""
    rng = np.random.default_rng(0)
    return sorted(rng.choice(items, min(_DRAWN, items), replace=False).tolist())
