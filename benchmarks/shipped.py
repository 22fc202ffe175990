"""The shipped bundle on the demo shop's held-out requests, beside BM25, popularity and ceilings.

``python -m benchmarks.shipped --json shipped.json``: the demo shop is made (4,000 items), embedded without
what was held out, indexed and served with the default mix; every held-out request is answered by the towers
alone (Q2I), by them without the user's history, and by the whole service. ``--bundle`` measures another one,
and ``--split val`` is for choosing: test is for telling. Figures have 95% intervals by query, and gaps are
paired.

One training, one shop: intervals over trainings are those of `benchmarks.parts`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from artifacts.bundle import Bundle
from artifacts.shop.shop import Shop
from benchmarks.at_ease import at_ease
from benchmarks.report import Claim, ProgressLines, arguments, finish
from cli.demo_files import demo_bundle
from index.embedded.build import build_index
from models.embed import embed_shop
from models.evaluation import Evaluation, evaluate
from models.evaluation.evaluate import Service
from models.synthetic import make_shop

_ITEMS, _SEED = 4000, 7
#: What leads, and what most pages of other systems tell.
MEASURES = ("Recall@10", "MRR", "R-prec@10", "Rele@10_p", "Recall@100", "nDCG@10", "AUC low", "Taste@10")
SLICES = (
    "all", "text", "photo", "text+photo", "browse",
    "unseen queries", "broad", "narrow", "picture only", "taste", "cold users",
)  # fmt: skip
NO_HISTORY = "without history"


def main() -> int:
    """Measure, print, write."""
    options = arguments(
        "The shipped bundle",
        [
            ("--bundle", {"type": Path, "help": "bundle folder; by default the shipped one"}),
            ("--split", {"default": "test", "choices": ["val", "test"]}),
        ],
    )
    folder = (options.bundle or demo_bundle()).resolve()
    tell = ProgressLines()
    with tempfile.TemporaryDirectory() as place:
        shop, embeddings, index = (Path(place) / name for name in ("shop", "embeddings", "index"))
        make_shop(shop, items=_ITEMS // (8 if options.quick else 1), seed=_SEED)
        embed_shop(Shop.open(shop), Bundle.load(folder), embeddings, progress=tell)
        build_index(embeddings, index)
        with at_ease(folder, index, Path(place)) as url:
            found = evaluate(
                folder,
                shop,
                split=options.split,
                embeddings=embeddings,
                service=Service(url),
                resamples=200 if options.quick else 2000,
                progress=tell,
            )
    runs = told(found)
    return finish(claims(runs), runs, options.json, setting="quick" if options.quick else "full")


def told(found: Evaluation) -> dict[str, Any]:
    """Figures of every system by slice, and what a history and the whole service change."""
    return {
        "bundle": found.systems[0],
        "split": found.split,
        "figures": [
            {"slice": row.slice, "system": row.system, "requests": row.requests}
            | {name: row.figures[name].as_dict() for name in MEASURES}
            for row in found.rows
            if row.slice in SLICES
        ],
        "gaps": [
            {"slice": c.slice, "measure": c.measure, "system": c.system, "against": c.against, "p": c.p}
            | c.gap.as_dict()
            for c in found.comparisons
            if c.slice in SLICES and c.measure in MEASURES and c.gap.value == c.gap.value
        ],
    }


def claims(runs: dict[str, Any]) -> list[Claim]:
    """A history does no harm: no interval of its gain lies below 0."""
    measures = ("Recall@10", "MRR", "R-prec@10", "Rele@10_p")
    return [
        Claim.at_least(f"history's gain, {gap['slice']}, {gap['measure']}: upper bound", gap["high"], 0.0)
        for gap in runs["gaps"]
        if gap["system"] == runs["bundle"] and gap["against"] == NO_HISTORY
        if gap["slice"] in ("all", "broad", "narrow", "cold users") and gap["measure"] in measures
    ]


if __name__ == "__main__":
    sys.exit(main())
