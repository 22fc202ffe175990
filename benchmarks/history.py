"""What a history is worth to searches, beside a linear reader of the true attributes of what a user did last.

``python -m benchmarks.history --shop SHOP --runs RUN… --small-shop SHOP --small-runs RUN… --json FILE``, over
synthetic shops of 20,000 and 4,000 items and finished runs of several seeds (`mrse train`). A model answers
the held-out searches with the users' histories and without. The reader (`benchmarks.history_reader`) is added
to the same model's scores without a history: with the amount by which no relevance is lost, and with the one
that finds most of what is clicked. Both also order what an oracle of true grades puts first, where a taste
costs nothing.

Amounts were chosen on val of one seed; the test split is measured once. ``--split val`` is for choosing.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from artifacts.bundle import Bundle
from benchmarks.history_reader import Reader
from benchmarks.report import Claim, arguments, finish
from common.arrays import F32, Bool
from models.dataset.training_data import TrainingData
from models.evaluation.answers import DEPTH, Answers
from models.evaluation.measures import MEASURES as MEASURES_BY_NAME
from models.evaluation.measures import Scores
from models.evaluation.statistics import Sums, seeds_difference
from models.evaluation.subject import Subject, answer, open_subject
from models.export.bundle import export
from models.towers import Config

MEASURES = ("Recall@10", "MRR", "R-prec@10", "Rele@10_p", "Recall@100")
SLICES = ("taste, broad", "taste", "no taste", "narrow", "broad", "cold users", "all")
#: Cosine that a nat of the reader is worth: without loss of relevance, and for most clicks found.
CAREFUL, BOLD = 0.03, 0.1
WITHOUT, HISTORY = "without history", "history"
READER, BOLD_READER = "reader, no loss of relevance", "reader, most clicks"
GRADE, GRADE_HISTORY, GRADE_READER = "true grade", "true grade, history", "true grade, reader"
#: What is compared, and with what.
PAIRS = (
    (HISTORY, WITHOUT), (READER, WITHOUT), (BOLD_READER, WITHOUT),
    (GRADE_HISTORY, GRADE), (GRADE_READER, GRADE),
)  # fmt: skip
#: More than any taste.
_GRADE = 1000.0
Runs = dict[tuple[str, str, str], list[Sums]]


def main() -> int:
    """Run it; the exit status is 0 when all claims hold."""
    options = arguments(
        __doc__ or "",
        (
            ("--shop", {"type": Path, "required": True}),
            ("--runs", {"type": Path, "nargs": "+", "required": True}),
            ("--small-shop", {"type": Path}),
            ("--small-runs", {"type": Path, "nargs": "+", "default": []}),
            ("--split", {"default": "test", "choices": ["val", "test"]}),
        ),
    )
    told = {"large": gaps(options.shop, options.runs, options.split, ceilings=True)}
    if options.small_runs:
        told["small"] = gaps(options.small_shop, options.small_runs, options.split, ceilings=False)
    setting = "quick" if options.quick else "full"
    return finish(claims(told), {"split": options.split, **told}, options.json, setting=setting)


def gaps(shop: Path, runs: Sequence[Path], split: str, *, ceilings: bool) -> dict[str, Any]:
    """What each of `PAIRS` differs by, by slice and measure: intervals over the runs' seeds and queries."""
    found: Runs = defaultdict(list)
    for run in runs:
        print(f"{run.name} ({split})", file=sys.stderr, flush=True)
        for key, sums in measured(shop, run, split, ceilings=ceilings):
            found[key].append(sums)
    result: dict[str, Any] = {"runs": len(runs)}
    for ours, theirs in PAIRS:
        # What is no model answers for those alone whom a taste can help.
        for name in SLICES if ours == HISTORY else SLICES[:1]:
            for measure in MEASURES:
                sides = [found.get((system, name, measure), []) for system in (ours, theirs)]
                if sides[0]:
                    gap = seeds_difference(*sides, paired=True).as_dict()
                    was = float(np.mean([sums.value for sums in sides[1]]))
                    result.setdefault(f"{ours} over {theirs}", {}).setdefault(name, {})[measure] = {
                        "was": was,
                        **gap,
                    }
    return result


def measured(
    shop: Path, run: Path, split: str, *, ceilings: bool
) -> Iterator[tuple[tuple[str, str, str], Sums]]:
    """Sums of one run by system, slice and measure."""
    with tempfile.TemporaryDirectory() as temporary:
        bundle = export(run, Path(temporary))
        with open_subject(bundle, shop, split) as subject:
            masks = subject.slices()
            systems = [
                answer(HISTORY, subject.retriever, subject.held_out),
                answer(WITHOUT, subject.retriever, subject.held_out, history=False),
            ]
            if ceilings:
                asks = systems[1].answered & masks.get(SLICES[0], systems[1].answered)
                systems += list(_ceilings(subject, shop, run, asks))
            for answers in systems:
                values = {name: MEASURES_BY_NAME[name].values(answers) for name in MEASURES}
                scores = Scores(
                    answers, {name: np.where(answers.answered, v, np.nan) for name, v in values.items()}
                )
                for name in SLICES:
                    if name in masks:
                        for measure in MEASURES:
                            yield (answers.system, name, measure), scores.sums(measure, masks[name])


def _ceilings(subject: Subject, shop: Path, run: Path, asks: Bool) -> Iterator[Answers]:
    """The reader over the model's scores, and both over true grades."""
    config = Config.read(_trained(subject.bundle))
    retriever, held_out = subject.retriever, subject.held_out
    reader = Reader(shop, TrainingData(run / "data", config))
    users = reader.users(held_out.requests, retriever.rows)
    bare = retriever.embed(held_out.requests, history=False)
    likes = retriever.embed(held_out.requests)[:, config.words_dim :]
    places, words = retriever.items[:, config.words_dim :], (1.0 - config.taste.share) ** 0.5
    chance = np.random.default_rng(0).random(len(places)).astype(np.float32) * 1e-4

    def graded(place: int) -> F32:
        known = held_out.known_grades(place)
        return chance if known is None else chance + _GRADE * known

    def by(amount: float) -> Callable[[int], F32]:
        return lambda n: retriever.items @ bare[n] + words * amount * (reader.items @ users[n])

    orders: dict[str, Callable[[int], F32]] = {
        READER: by(CAREFUL),
        BOLD_READER: by(BOLD),
        GRADE: graded,
        GRADE_HISTORY: lambda n: graded(n) + places @ likes[n],
        GRADE_READER: lambda n: graded(n) + reader.items @ users[n],
    }
    for name, order in orders.items():
        top = np.full((len(asks), min(DEPTH, len(places))), -1, dtype=np.int64)
        for n in np.flatnonzero(asks).tolist():
            scores = order(n)
            best = np.argpartition(-scores, top.shape[1] - 1)[: top.shape[1]]
            top[n] = best[np.argsort(-scores[best], kind="stable")]
        yield Answers(name, held_out, top, asks)


def _trained(bundle: Bundle) -> dict[str, Any]:
    """The whole configuration that a bundle was trained with."""
    manifest = bundle.manifest
    own = {
        name: getattr(manifest, name).model_dump(mode="json") for name in ("text", "picture", "dimensions")
    }
    return {**manifest.training, **own}


def claims(told: dict[str, Any]) -> list[Claim]:
    """Half of what the reader gains, and no loss where a taste says nothing."""
    large, found = told["large"], []
    for name, ours, theirs in (
        ("over true grades", (GRADE_HISTORY, GRADE), (GRADE_READER, GRADE)),
        ("over the model's own scores", (HISTORY, WITHOUT), (READER, WITHOUT)),
        ("the same, where the reader goes for clicks alone", (HISTORY, WITHOUT), (BOLD_READER, WITHOUT)),
    ):
        one, other = (large[" over ".join(pair)][SLICES[0]][MEASURES[0]]["value"] for pair in (ours, theirs))
        says = f"users with a taste, broad queries: share of the reader's gain in Recall@10, {name}"
        found.append(Claim.at_least(says, one / other, 0.5))
    gain = large[f"{HISTORY} over {WITHOUT}"]
    low = gain[SLICES[0]][MEASURES[0]]["low"]
    found.append(
        Claim(
            f"the same users and queries: low end of the gain in {MEASURES[0]}", round(low, 4), "> 0", low > 0
        )
    )
    places = [("20,000 items", gain, name) for name in ("narrow", "cold users")]
    if "small" in told:
        places += [("4,000 items", told["small"][f"{HISTORY} over {WITHOUT}"], "all")]
    for size, gaps_, name in places:
        for measure in MEASURES[:4]:
            says = f"{size}, {name}: high end of what a history changes in {measure}"
            found.append(Claim.at_least(says, gaps_[name][measure]["high"], 0.0))
    return found


if __name__ == "__main__":
    sys.exit(main())
