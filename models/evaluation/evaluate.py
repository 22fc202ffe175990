"""The evaluation of a bundle: every measure by slice with intervals, beside the baselines."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from artifacts.bundle import Bundle
from common.arrays import Bool
from common.progress import Progress, silent, stage_progress
from models.evaluation import baselines
from models.evaluation.answers import Answers
from models.evaluation.heldout import HeldOut
from models.evaluation.measures import MEASURES, Scores, score
from models.evaluation.service import SERVICE, WITHOUT, ask_service
from models.evaluation.statistics import Interval, bootstrap_all, difference_all, permutation
from models.evaluation.subject import Subject, answer, open_retriever, open_subject
from models.evaluation.teacher_grades import TeacherGrades


@dataclass(frozen=True)
class Service:
    """A running service: where it is, a key where it needs one, and whether each route's worth is wanted."""

    url: str
    key: str | None = None
    worth: bool = False


@dataclass(frozen=True)
class Row:
    """A system on a slice: ``requests`` of it that the system could take, and each measure's figure."""

    slice: str
    system: str
    requests: int
    figures: dict[str, Interval]


@dataclass(frozen=True)
class Comparison:
    """A system minus another on a slice, with its interval and the p of the paired permutation."""

    slice: str
    measure: str
    system: str
    against: str
    gap: Interval
    p: float


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured.

    Attributes:
        shop: its name.
        split: what was held out.
        held_out: the requests.
        masks: bool ``[n]`` by slice.
        answers: of every system, the bundle's first.
        rows: figures by slice and system, but for slices of which a system can take no request.
        comparisons: the bundle against every other system, and the whole service against the baselines and
            itself without each route, by slice and measure.
        ids: of the catalogue's rows.
    """

    shop: str
    split: str
    held_out: HeldOut
    masks: dict[str, Bool]
    answers: tuple[Answers, ...]
    rows: tuple[Row, ...]
    comparisons: tuple[Comparison, ...]
    ids: tuple[str, ...]

    @property
    def systems(self) -> tuple[str, ...]:
        """Names of the systems; the first is the bundle's version."""
        return tuple(answers.system for answers in self.answers)

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``; NaN becomes null."""
        queries = {name: len(np.unique(self.held_out.query[mask])) for name, mask in self.masks.items()}
        rows = [
            {
                "slice": row.slice,
                "system": row.system,
                "requests": row.requests,
                "queries_of_slice": queries[row.slice],
                **{name: figure.as_dict() for name, figure in row.figures.items()},
            }
            for row in self.rows
        ]
        comparisons = [
            {
                "slice": c.slice,
                "measure": c.measure,
                "system": c.system,
                "against": c.against,
                **c.gap.as_dict(),
                "p": c.p,
            }
            for c in self.comparisons
        ]
        return {
            "bundle": self.systems[0],
            "shop": self.shop,
            "split": self.split,
            "gains": self.held_out.gains,
            "units": {name: measure.unit for name, measure in MEASURES.items()},
            "slices": rows,
            "comparisons": comparisons,
        }


def evaluate(
    bundle_path: Path,
    shop_path: Path,
    *,
    split: str = "val",
    embeddings: Path | None = None,
    kinds: Collection[str] | None = None,
    against: Path | None = None,
    teacher: Path | None = None,
    service: Service | None = None,
    resamples: int = 1000,
    progress: Progress = silent,
) -> Evaluation:
    """Measure a bundle by slice.

    Systems: the bundle, which is Q2I alone; the bundle without history; the bundle ``against``; the whole
    service, and without each route; BM25 on text queries; popularity; and the ceilings of
    `models.evaluation.baselines`, with which nothing is compared.

    Args:
        bundle_path, shop_path, split, embeddings, kinds, progress: as for `open_subject`.
        against: another bundle; it answers the very same requests, with histories of the depth of ours.
        teacher: a training run whose teacher grades, see `TeacherGrades`.
        service: a running service of the bundle, see `ask_service`.
        resamples: bootstrap replicates and permutations.

    Raises:
        BundleError, DataError: bundle or shop cannot be read.
        NothingHeldOut: there is no held-out request to measure on.
        TeacherError, ServiceError: teacher or service cannot be used.
    """
    with open_subject(
        bundle_path,
        shop_path,
        split,
        embeddings=embeddings,
        kinds=kinds,
        teacher=teacher,
        progress=progress,
    ) as subject:
        masks = subject.slices()
        systems = list(_answers(subject, against, service, masks, progress))
        if isinstance(subject.held_out.grades, TeacherGrades):
            subject.held_out.grades.judge(systems)
        scores = [score(answers) for answers in systems]
        ids = tuple(subject.retriever.ids)
    pairs = list(_pairs(scores))
    rows: list[Row] = []
    comparisons: list[Comparison] = []
    told = stage_progress(progress, "intervals")
    for done, (name, mask) in enumerate(masks.items()):
        told(done, len(masks))
        rows += [row for each in scores if (row := _row(each, name, mask, resamples)) is not None]
        comparisons += [c for pair in pairs for c in _compare(*pair, name, mask, resamples)]
    told(len(masks), len(masks))
    order = {each.answers.system: place for place, each in enumerate(scores)}
    comparisons.sort(key=lambda c: (order[c.system], order[c.against]))
    return Evaluation(
        subject.shop.schema.name,
        split,
        subject.held_out,
        masks,
        tuple(each.answers for each in scores),
        tuple(rows),
        tuple(comparisons),
        ids,
    )


def _answers(
    subject: Subject,
    against: Path | None,
    service: Service | None,
    masks: dict[str, Bool],
    progress: Progress,
) -> Iterator[Answers]:
    yield subject.answers()
    if any(request.history for request in subject.held_out.requests):
        yield answer("without history", subject.retriever, subject.held_out, history=False)
    if against is not None:
        other = Bundle.load(against)
        with open_retriever(other, subject.shop, progress=progress) as retriever:
            yield answer(other.version, retriever, subject.held_out)
    if service is not None:
        yield from ask_service(
            service.url, service.key, subject.bundle.version, subject.shop, subject.held_out,
            subject.retriever.rows, progress, worth=service.worth,
        )  # fmt: skip
    if "text" in masks:
        yield baselines.bm25(subject.shop, subject.held_out, masks["text"])
    share = subject.bundle.manifest.preprocessing.held_out
    clicks = baselines.count_clicks(subject.shop, subject.retriever.rows, share)
    yield baselines.popularity(subject.held_out, clicks)
    yield from baselines.ceilings(subject.held_out, clicks)


def _pairs(scores: Sequence[Scores]) -> Iterator[tuple[Scores, Scores]]:
    """What is compared: the first with each of the second."""
    rivals = [each for each in scores[1:] if each.answers.system not in baselines.CEILINGS]
    for other in rivals:
        if not other.answers.system.startswith(WITHOUT):
            yield scores[0], other
    service = next((each for each in rivals if each.answers.system == SERVICE), None)
    if service is None:
        return
    for other in rivals:
        if other.answers.system in baselines.BASELINES or other.answers.system.startswith(WITHOUT):
            yield service, other


def _row(scores: Scores, name: str, mask: Bool, resamples: int) -> Row | None:
    requests = int((scores.answers.answered & mask).sum())
    if not requests:
        return None
    figures = bootstrap_all([scores.sums(m, mask) for m in MEASURES], resamples=resamples)
    return Row(name, scores.answers.system, requests, dict(zip(MEASURES, figures, strict=True)))


def _compare(ours: Scores, theirs: Scores, name: str, mask: Bool, resamples: int) -> Iterator[Comparison]:
    """Ours against theirs by measure, over the requests of a slice that both answered."""
    both = mask & ours.answers.answered & theirs.answers.answered
    pairs = {m: (ours.sums(m, both), theirs.sums(m, both)) for m in MEASURES}
    pairs = {m: (a, b) for m, (a, b) in pairs.items() if a.weight.any() and b.weight.any()}
    gaps = difference_all(list(pairs.values()), resamples=resamples)
    for (measure, pair), gap in zip(pairs.items(), gaps, strict=True):
        p = permutation(*pair, resamples=resamples)
        yield Comparison(name, measure, ours.answers.system, theirs.answers.system, gap, p)
