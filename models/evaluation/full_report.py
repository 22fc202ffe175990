"""The whole evaluation: every measure by slice with intervals, and two bundles against each other."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from artifacts.bundle import Bundle
from artifacts.bundle.manifest import Precision
from artifacts.shop.shop import Shop
from models.embed import embed_shop
from models.evaluation.bm25 import Bm25
from models.evaluation.grades import Grades, open_grades
from models.evaluation.heldout import nothing_held_out, read_requests
from models.evaluation.measure import DEPTH, MEASURES, Answers, Asked, Bool, Int64, score
from models.evaluation.searcher import Searcher
from models.evaluation.slices import slice_requests
from models.evaluation.statistics import Interval, difference, permutation

Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Comparison:
    """Ours minus another system's over a slice, with its interval and the p of the paired permutation."""

    slice: str
    measure: str
    against: str
    gap: Interval
    p: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "slice": self.slice,
            "measure": self.measure,
            "against": self.against,
            **self.gap.as_dict(),
            "p": self.p,
        }


@dataclass(frozen=True)
class Evaluated:
    """Everything that was measured.

    ``figures`` by (slice, system, measure); ``sizes`` by slice: requests and distinct queries; ``masks``
    bool ``[n]`` by slice; ``answers`` of every system, the bundle's first; ``ids`` of the catalogue's rows.
    """

    bundle: str
    shop: str
    split: str
    asked: Asked
    masks: dict[str, Bool]
    answers: tuple[Answers, ...]
    sizes: dict[str, tuple[int, int]]
    figures: dict[tuple[str, str, str], Interval]
    comparisons: tuple[Comparison, ...]
    ids: tuple[str, ...]

    @property
    def systems(self) -> tuple[str, ...]:
        """Names of the systems."""
        return tuple(a.system for a in self.answers)

    def answered(self, name: str, system: str) -> int:
        """Requests of a slice that a system could take: BM25 takes no photos, for one."""
        answers = self.answers[self.systems.index(system)]
        return int((~np.isnan(answers.values["rr"][self.masks[name]])).sum())

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``; NaN becomes null."""
        rows = [
            {
                "slice": name,
                "system": system,
                "requests": self.answered(name, system),
                "queries_of_slice": self.sizes[name][1],
                **{m: self.figures[name, system, m].as_dict() for m in MEASURES},
            }
            for name in self.masks
            for system in self.systems
            if (name, system, "MRR") in self.figures
        ]
        return {
            "bundle": self.bundle,
            "shop": self.shop,
            "split": self.split,
            "gains": self.asked.gains,
            "slices": rows,
            "comparisons": [c.as_dict() for c in self.comparisons],
        }


def evaluate_full(
    bundle_path: Path,
    shop_path: Path,
    *,
    split: str = "val",
    embeddings: Path | None = None,
    against: Path | None = None,
    bm25: bool = True,
    bare: bool = True,
    precision: Precision = "fp32",
    resamples: int = 1000,
    progress: Progress = lambda stage, done, total: None,
) -> Evaluated:
    """Measure a bundle by slice.

    Systems: the bundle; the bundle without history; the bundle ``against``; BM25 on text queries.

    Args:
        bundle_path: the bundle.
        shop_path: the shop.
        split: ``val`` or ``test``.
        embeddings: the shop's embeddings folder of this bundle; made for the occasion when not given.
        against: another bundle, for the paired permutation test.
        bm25: whether BM25 answers too.
        bare: whether the bundle also answers without histories.
        precision: of the query experts.
        resamples: bootstrap replicates and permutations.
        progress: called with the stage, done and total.

    Raises:
        BundleError, DataError: bundle or shop cannot be read.
        NothingHeldOut: there is no held-out request to measure on.
    """
    shop = Shop.open(shop_path)
    bundle = Bundle.load(bundle_path)
    training = bundle.manifest.training
    held_out = float(training["held_out"])
    requests = read_requests(
        shop,
        split,
        depth=bundle.manifest.dimensions.history,
        held_out=held_out,
        same_item_days=float(training["data"]["same_item_days"]),
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = embeddings or _embed(shop, bundle, Path(temporary) / "ours", progress)
        searcher = Searcher(bundle, shop, folder, precision=precision)
        grades = open_grades(shop, shop_path, searcher.rows)
        asked = Asked.of(requests, searcher.rows, grades)
        if not asked.requests:
            raise nothing_held_out(shop, split)
        masks = slice_requests(shop, asked.requests, grades, held_out)
        answers = _answers(searcher, asked, grades, bundle.version, bare=bare)
        if against is not None:
            answers.append(_other(Bundle.load(against), shop, asked, grades, Path(temporary), progress))
        if bm25 and "text" in masks:
            answers.append(_bm25(shop, asked, grades, masks["text"]))
        ids = tuple(searcher.ids)
    figures: dict[tuple[str, str, str], Interval] = {}
    for done, (name, mask) in enumerate(masks.items()):
        progress("intervals", done, len(masks))
        for answer in answers:
            if not np.isnan(answer.values["rr"][mask]).all():
                figures |= {
                    (name, answer.system, m): answer.figure(m, asked, mask, resamples) for m in MEASURES
                }
    progress("intervals", len(masks), len(masks))
    return Evaluated(
        bundle.version,
        shop.schema.name,
        split,
        asked,
        masks,
        tuple(answers),
        {n: (int(m.sum()), len(np.unique(asked.query[m]))) for n, m in masks.items()},
        figures,
        tuple(c for other in answers[1:] for c in compare(answers[0], other, asked, masks, resamples)),
        ids,
    )


def compare(
    ours: Answers, theirs: Answers, asked: Asked, masks: dict[str, Bool], resamples: int
) -> list[Comparison]:
    """Ours against theirs by slice and measure, over the requests that both answered."""
    found = []
    both = ~np.isnan(ours.values["rr"]) & ~np.isnan(theirs.values["rr"])
    for name, whole in masks.items():
        mask = whole & both
        for measure in MEASURES:
            a, b = ours.sums(measure, asked, mask), theirs.sums(measure, asked, mask)
            if a.below.sum() > 0 and b.below.sum() > 0:
                gap = difference(a, b, resamples=resamples)
                p = permutation(a, b, resamples=resamples)
                found.append(Comparison(name, measure, theirs.system, gap, p))
    return found


def _answers(
    searcher: Searcher, asked: Asked, grades: Grades | None, name: str, *, bare: bool
) -> list[Answers]:
    everything = np.ones(len(asked.requests), dtype=np.bool_)
    top = searcher.top(searcher.embed(asked.requests), DEPTH)
    answers = [score(name, asked, top, grades, answered=everything)]
    if bare and any(r.history for r in asked.requests):
        top = searcher.top(searcher.embed(asked.requests, history=False), DEPTH)
        said = np.array([r.kind != "browse" for r in asked.requests], dtype=np.bool_)
        answers.append(score("without history", asked, top, grades, answered=said))
    return answers


def _other(
    bundle: Bundle, shop: Shop, asked: Asked, grades: Grades | None, folder: Path, progress: Progress
) -> Answers:
    """The other bundle answers the very same requests, with histories of the depth of ours."""
    embedded = _embed(shop, bundle, folder / "theirs", progress)
    searcher = Searcher(bundle, shop, embedded)
    top = searcher.top(searcher.embed(asked.requests), DEPTH)
    everything = np.ones(len(asked.requests), dtype=np.bool_)
    return score(bundle.version, asked, top, grades, answered=everything)


def _bm25(shop: Shop, asked: Asked, grades: Grades | None, text: Bool) -> Answers:
    index = Bm25(f"{i.title} {i.category} {i.description}" for i in shop.items())
    places = np.flatnonzero(text)
    queries = [asked.requests[p].event.query for p in places]
    distinct = sorted(set(queries))
    best = dict(zip(distinct, index.top(distinct, DEPTH), strict=True))
    top: Int64 = np.full((len(text), min(DEPTH, index.items)), -1, dtype=np.int64)
    top[places] = np.stack([best[q] for q in queries])
    return score("bm25", asked, top, grades, answered=text)


def _embed(shop: Shop, bundle: Bundle, folder: Path, progress: Progress) -> Path:
    embed_shop(shop, bundle, folder, progress=progress)
    return folder
