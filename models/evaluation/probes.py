"""Looks at the model: what each expert adds, what history adds, whether vectors collapsed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from artifacts.actions import ACTIONS
from artifacts.bundle import Bundle, open_graph
from artifacts.shop.shop import Shop
from models.evaluation.collapse import alignment, effective_rank, similarity, uniformity
from models.evaluation.finding import Finding, Verdict, worst
from models.evaluation.grades import Grades
from models.evaluation.heldout import Request
from models.evaluation.measure import Asked
from models.evaluation.metrics import ranks_of
from models.evaluation.searcher import Arrays, Searcher
from models.evaluation.statistics import Interval, Sums, by_request, difference

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
_K, _ROWS, _DRAWN, _RESAMPLES = 100, 64, 1500, 500
#: Bounds of the verdicts, all *inferred*. An expert is idle when recall loses less than this share of itself
#: without it, and rules alone when no other expert's loss is a tenth of its own.
_IDLE, _ALONE = 0.01, 0.1
#: Least share of requests with a history.
_COVERAGE = 0.3
#: Least share of a space's dimensions that are used, and most that two experts may say the same.
_RANK, _SAME = 0.1, 0.9
_UNIFORM = -1.0


@dataclass(frozen=True)
class Patient:
    """The bundle, and what it made of the shop: ``features`` float16 ``[N, 3, d]`` of the items and
    ``coclick`` float32 ``[N, 3, d]``."""

    bundle: Bundle
    shop: Shop
    searcher: Searcher
    asked: Asked
    grades: Grades | None
    features: npt.NDArray[np.float16]
    coclick: Float32

    def inputs(self, requests: Sequence[Request], *, history: bool = True) -> Iterator[Arrays]:
        """What the query fusion reads, a chunk at a time."""
        for start in range(0, len(requests), _ROWS):
            yield self.searcher.fusion_inputs(requests[start : start + _ROWS], history=history)


def contributions(patient: Patient) -> list[Finding]:
    """Recall with one expert zeroed before fusion, on both sides, beside recall with all."""
    names = patient.bundle.manifest.dimensions.experts
    inputs = list(patient.inputs(patient.asked.requests))
    outputs = [patient.searcher.fuse(part) for part in inputs]
    whole = _recall(patient, _joined(outputs, "embedding"), None)
    gate = _joined(outputs, "gate").mean(axis=0)
    figures = {f"Recall@{_K}": whole.value}
    losses: dict[str, Interval] = {}
    for place, name in enumerate(names):
        queries = _joined([patient.searcher.fuse(_without(part, place)) for part in inputs], "embedding")
        less = _recall(patient, queries, _items_without(patient, place))
        losses[name] = difference(whole, less, resamples=_RESAMPLES)
        figures |= {f"lost without {name}": losses[name].value, f"gate of {name}": float(gate[place])}
    idle = [name for name, gap in losses.items() if gap.value < _IDLE * whole.value or gap.low <= 0]
    strongest = max(losses, key=lambda name: losses[name].value)
    rest = [gap.value for name, gap in losses.items() if name != strongest]
    if whole.value <= 0:
        return [Finding("expert contributions", "broken", "nothing that was clicked is found at all",
                        "train longer; check that the bundle is of this shop", figures)]  # fmt: skip
    if idle and rest and max(rest) < _ALONE * losses[strongest].value:
        says = f"{strongest} does the work alone; without any of the others recall stays as it is"
        remedy = (
            f"stage1.steps up; a lower rate for stage 2; see whether {strongest} alone fits the train set"
        )
        return [Finding("expert contributions", "broken", says, remedy, figures)]
    if idle:
        says = f"recall does not fall without {', '.join(idle)} (loss under 1%, or its interval meets 0)"
        remedy = f"check its inputs (pictures, texts); `mrse ablate` with switches.{idle[0]}=false; drop it"
        return [Finding("expert contributions", "watch", says, remedy, figures)]
    return [
        Finding("expert contributions", "fine", "recall falls without any one of the experts", "", figures)
    ]


def history(patient: Patient) -> list[Finding]:
    """How many requests have a history, how long it is, and what it adds where there is one."""
    requests = patient.asked.requests
    known = [len([b for b in r.history if b.item_id in patient.searcher.rows]) for r in requests]
    lengths = np.array(known)
    have = lengths > 0
    depth = patient.bundle.manifest.dimensions.history
    figures = {
        "share with a user": float(np.mean([r.event.user is not None for r in requests])),
        "share with history": float(have.mean()),
        "median length": float(np.median(lengths[have])) if have.any() else 0.0,
        "share at full depth": float((lengths >= depth).mean()),
    }
    figures |= {
        f"share of {a}": _share([b.action == a for r in requests for b in r.history])
        for a in ACTIONS.behaviours
    }
    if figures["share with history"] < _COVERAGE:
        says = f"only {figures['share with history']:.0%} of the requests come with a history"
        remedy = "log user ids with searches; keep a longer log; data.query_dropout down"
        findings = [Finding("history coverage", "watch", says, remedy, figures)]
    else:
        says = f"{figures['share with history']:.0%} of the requests come with a history"
        findings = [Finding("history coverage", "fine", says, "", figures)]
    return [*findings, _history_gain(patient, have)]


def _history_gain(patient: Patient, have: npt.NDArray[np.bool_]) -> Finding:
    # Browsing asks for nothing, so without a history there is no query at all.
    told = np.array([r.kind != "browse" for r in patient.asked.requests])
    places = np.flatnonzero(have & told)
    if not len(places):
        return Finding("history gain", "unknown", "no request has both a query and a history")
    some = [patient.asked.requests[p] for p in places.tolist()]
    sums = [
        _recall_of(patient, patient.searcher.embed(some, history=on), places, None) for on in (True, False)
    ]
    gap = difference(*sums, resamples=_RESAMPLES)
    figures = {
        "with": sums[0].value,
        "without": sums[1].value,
        "gain": gap.value,
        "low": gap.low,
        "high": gap.high,
    }
    bounds = f"Recall@{_K} {gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f}) by the history"
    if gap.high < 0:
        remedy = "data.history_dropout up; data.same_item_days up; stage2.steps up"
        return Finding("history gain", "broken", f"history does harm: {bounds}", remedy, figures)
    if gap.low <= 0:
        remedy = "a longer log; dimensions.history up; data.history_dropout down; more requests to measure on"
        return Finding(
            "history gain", "watch", f"no gain that can be told from none: {bounds}", remedy, figures
        )
    return Finding("history gain", "fine", bounds, "", figures)


def collapse(patient: Patient) -> list[Finding]:
    """Dimensions that are used, alignment and uniformity of the embeddings, and experts that say the same."""
    rng = np.random.default_rng(0)
    rows = np.sort(rng.choice(len(patient.features), min(_DRAWN, len(patient.features)), replace=False))
    items = patient.searcher.items[rows]
    places = np.linspace(0, len(patient.asked.requests) - 1, min(_DRAWN, len(patient.asked.requests)))
    asked = [patient.asked.requests[int(p)] for p in places]
    queries = patient.searcher.embed(asked)
    wanted = patient.searcher.items[patient.asked.wanted[places.astype(np.int64)]]
    rank = effective_rank(items)
    figures = {
        "effective rank of items": rank,
        "effective rank of queries": effective_rank(queries),
        "alignment": alignment(queries, wanted),
        "uniformity of items": uniformity(items),
    }
    # No set of n points spans more than n - 1 dimensions.
    room = min(items.shape[1], len(items) - 1)
    verdict: Verdict = "fine"
    says = f"{rank:.0f} of {items.shape[1]} dimensions are used"
    if rank < _RANK * room or figures["uniformity of items"] > _UNIFORM:
        verdict = "broken" if rank < 2 else "watch"
        says = f"item embeddings huddle: {says}, uniformity {figures['uniformity of items']:.2f}"
    remedy = (
        "" if verdict == "fine" else "loss.scale up; loss.uniform_share up; larger batches; loss.beta down"
    )
    return [Finding("embedding collapse", verdict, says, remedy, figures), _experts_alike(patient, rows)]


def _experts_alike(patient: Patient, rows: Int64) -> Finding:
    names = patient.bundle.manifest.dimensions.experts
    features = patient.features[rows].astype(np.float32)
    figures = {f"effective rank of {n}": effective_rank(features[:, m]) for m, n in enumerate(names)}
    silent = [name for m, name in enumerate(names) if figures[f"effective rank of {name}"] < 1]
    pairs = {}
    for first in range(len(names)):
        for second in range(first + 1, len(names)):
            pairs[f"{names[first]} ~ {names[second]}"] = similarity(features[:, first], features[:, second])
    figures |= pairs
    same = [pair for pair, value in pairs.items() if value > _SAME]
    verdict = worst("watch" if same else "fine", "broken" if silent else "fine")
    if silent:
        says, remedy = (
            f"{', '.join(silent)} gives the same for every item",
            "check that its switch is on and its inputs are there",
        )
    elif same:
        says, remedy = (
            f"experts say the same: {', '.join(same)}",
            "experts.dropout up; drop one and see (`mrse ablate`)",
        )
    else:
        says, remedy = "each expert sees something of its own", ""
    return Finding("expert correlation", verdict, says, remedy, figures)


def _recall(patient: Patient, queries: Float32, items: Float32 | None) -> Sums:
    return _recall_of(patient, queries, np.arange(len(queries)), items)


def _recall_of(patient: Patient, queries: Float32, places: Int64, items: Float32 | None) -> Sums:
    asked = patient.asked
    ranks = ranks_of(patient.searcher.top(queries, _K, items), asked.wanted[places])
    return by_request((ranks > 0).astype(np.float64), asked.query[places], asked.queries)


def _without(inputs: Arrays, place: int) -> Arrays:
    """Fusion inputs with one expert zeroed, in the portrait too."""
    experts, portrait = inputs["experts"].copy(), inputs["portrait"].copy()
    experts[:, place], portrait[:, :, place] = 0, 0
    return {**inputs, "experts": experts, "portrait": portrait}


def _items_without(patient: Patient, place: int) -> Float32:
    graph = open_graph(patient.bundle.graph("item_fusion"))
    parts = []
    for start in range(0, len(patient.features), 1024):
        features = patient.features[start : start + 1024].astype(np.float32)
        coclick = patient.coclick[start : start + 1024].copy()
        features[:, place], coclick[:, place] = 0, 0
        parts.append(graph.run({"features": features, "coclick": coclick})["embedding"])
    return np.concatenate(parts)


def _joined(outputs: Sequence[dict[str, Float32]], name: str) -> Float32:
    return np.concatenate([part[name] for part in outputs])


def _share(flags: Sequence[bool]) -> float:
    return float(np.mean(flags)) if flags else 0.0
