"""Looks at what serving runs beside what training saw, and at how training went."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from artifacts.bundle import BundleError, open_graph
from artifacts.bundle.loader import cosine
from artifacts.bundle.manifest import ROLES
from common.arrays import F64
from models.evaluation.finding import RESAMPLES, Finding, K, Verdict
from models.evaluation.losses import read_losses, steps_to
from models.evaluation.statistics import difference
from models.evaluation.subject import Subject

#: Bounds, *inferred*: least cosine of int8 to fp32, and least share of the top 100 that both have.
_COSINE, _SHARED = 0.99, 0.9
_SAMPLE = 500
#: A loss that falls by more than this share over the last fifth of a stage has not come to rest.
_FALLING = 0.03


def parity(subject: Subject) -> list[Finding]:
    """The graphs against what torch gave at export, and int8 against fp32 on the shop's own requests.

    This very path is free of torch: the canonical outputs stand for it.
    """
    bundle = subject.bundle
    figures = dict(bundle.manifest.parity)
    wrong = []
    for role in ROLES:
        for precision in bundle.manifest.graphs[role]:
            try:
                bundle.check_canonical(role, open_graph(bundle.graph(role, precision)), precision)
            except BundleError as error:
                wrong.append(str(error))
    says = "; ".join(wrong) or "every graph gives the outputs that torch gave at export"
    remedy = "export again on this machine" if wrong else ""
    torch = Finding("parity with torch", "broken" if wrong else "fine", says, remedy, figures)
    if "int8" in bundle.manifest.graphs["query_experts"]:
        return [torch, _int8(subject)]
    return [torch, Finding("parity of int8", "unknown", "the bundle has no int8 graph")]


def _int8(subject: Subject) -> Finding:
    places, some = subject.sample(_SAMPLE)
    retrievers = (subject.retriever, subject.retriever.in_precision("int8"))
    queries = [retriever.embed(some) for retriever in retrievers]
    tops = [subject.retriever.top(q, K) for q in queries]
    lost = difference(*(subject.recall(q, K, places) for q in queries), resamples=RESAMPLES)
    both = [len(np.intersect1d(a, b)) / len(a) for a, b in zip(*tops, strict=True)]
    figures = {
        "least cosine": float(cosine(queries[0], queries[1]).min()),
        "top 100 in common": float(np.mean(both)),
        f"Recall@{K} lost": lost.value,
    }
    fine = figures["least cosine"] >= _COSINE and figures["top 100 in common"] >= _SHARED and lost.low <= 0
    says = f"int8 keeps {figures['top 100 in common']:.1%} of the top 100, Recall@{K} {-lost.value:+.4f}"
    remedy = "" if fine else "serve fp32 (encoder precision in the settings); quantise less at export"
    return Finding("parity of int8", "fine" if fine else "watch", says, remedy, figures)


def convergence(subject: Subject) -> list[Finding]:
    """Whether the losses of a run came to rest; the paper reads slow convergence as a wrong beta/alpha."""
    loss, run = subject.bundle.manifest.training.get("loss", {}), subject.run
    ratio = float(loss.get("beta", 0.0)) / max(float(loss.get("alpha", 1.0)), 1e-9)
    if run is None:
        says = "give the training run (--run) to look at its curves"
        return [Finding("convergence", "unknown", says, "", {"beta/alpha": ratio})]
    seed = json.loads((run / "config.json").read_text()).get("config", {}).get("seed")
    found = []
    for stage, measure in (("stage1", "loss"), ("stage2", "mnsce")):
        points = read_losses(run, stage, measure)
        if not points:
            found.append(Finding(f"convergence of {stage}", "unknown", f"{stage}.csv is not there"))
            continue
        finding = _stage(stage, measure, np.array([loss for _, loss in points]), ratio)
        more = {f"steps to 95% of {measure}": steps_to(points)} | _doses(run, stage)
        found.append(replace(finding, figures=finding.figures | more))
    if seed != subject.bundle.manifest.training.get("seed"):
        found.append(Finding("convergence", "watch", "the run is of another seed than the bundle"))
    return found


def _doses(run: Path, stage: str) -> dict[str, float]:
    """Mean share of the gradient that HNST had while it took part."""
    shares = [share for _, share in read_losses(run, stage, "hnst_share") if share > 0]
    return {"HNST's share of the gradient": float(np.mean(shares))} if shares else {}


def _stage(stage: str, measure: str, values: F64, ratio: float) -> Finding:
    name = f"convergence of {stage}"
    fifth = len(values) // 5
    if fifth < 2:
        return Finding(name, "unknown", f"only {len(values)} points of the curve", "", {"beta/alpha": ratio})
    before, last = float(values[-2 * fifth : -fifth].mean()), float(values[-fifth:].mean())
    fall = (before - last) / abs(before) if before else 0.0
    figures = {"beta/alpha": ratio, "first": float(values[0]), "last": last, "fall over the last fifth": fall}
    verdict: Verdict = "fine"
    says, remedy = f"{measure} came to rest at {last:.3g}", ""
    if not np.isfinite(values).all():
        verdict, says = "broken", f"{measure} is not finite"
        remedy = f"{stage}.rate down; {stage}.clip down"
    elif last > before * (1 + _FALLING):
        verdict, says = "watch", f"{measure} rose by {-fall:.1%} at the end"
        remedy = "loss.beta down (beta/alpha); loss.hard_after later; loss.margin down"
    elif fall > _FALLING:
        verdict, says = "watch", f"{measure} still falls, by {fall:.1%} over the last fifth"
        remedy = f"{stage}.steps up; {stage}.rate up; loss.beta/loss.alpha down"
    return Finding(name, verdict, says, remedy, figures)
