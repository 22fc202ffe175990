"""What each route is worth to the whole service on held-out requests, and browsing beside plain popularity.

``python -m benchmarks.worth --shop SHOP --embeddings EMBEDDINGS --index INDEX --json FILE``, with embeddings
and index of the shop by the bundle, without what was held out, as `mrse embed` makes them. A service with the
default mix is asked for every held-out request of the split ``test``, and again without each route that found
anything, as `mrse evaluate --service --routes` does. All figures have 95% intervals, paired by query (by user
for browsing); ``--quick`` draws fewer replicates.

The demo shop's log has some 230 held-out browses in a split, too few to tell gains below 0.03. A log of the
same shop that is eight times as long has more: ``mrse shop make --items 4000 --users 8000 --events 320000``,
with ``--only browse`` for these alone.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.at_ease import at_ease
from benchmarks.report import Claim, ProgressLines, above_zero, arguments, finish
from cli.demo_files import demo_bundle
from models.evaluation import Evaluation, evaluate
from models.evaluation.evaluate import Service
from models.evaluation.heldout import KINDS
from models.evaluation.service import SERVICE, WITHOUT

_MEASURES = ("Recall@1", "Recall@10", "Recall@100", "nDCG@10")


def main() -> int:
    """Measure, print, write."""
    options = arguments(
        "What each route is worth",
        [
            ("--shop", {"type": Path, "required": True, "help": "shop folder, as of `mrse shop make`"}),
            ("--embeddings", {"type": Path, "required": True, "help": "its embeddings, --behaviours train"}),
            ("--index", {"type": Path, "required": True, "help": "index of these"}),
            ("--bundle", {"type": Path, "help": "bundle folder; by default the shipped one"}),
            ("--only", {"action": "append", "choices": KINDS, "help": "requests of this kind alone"}),
            ("--split", {"default": "test", "choices": ["val", "test"]}),
        ],
    )
    bundle = (options.bundle or demo_bundle()).resolve()
    with tempfile.TemporaryDirectory() as folder, at_ease(bundle, options.index, Path(folder)) as url:
        found = evaluate(
            bundle,
            options.shop.resolve(),
            split=options.split,
            embeddings=options.embeddings.resolve(),
            kinds=options.only,
            service=Service(url, worth=True),
            resamples=200 if options.quick else 2000,
            progress=ProgressLines(),
        )
    runs = told(found)
    for run in runs["gaps"]:
        bounds = f"{run['low']:+.4f} to {run['high']:+.4f}"
        print(
            f"{run['slice']:<11} {run['measure']:<11} {run['value']:+.4f} ({bounds}) against {run['against']}"
        )
    return finish(claims(found), runs, options.json, setting="quick" if options.quick else "full")


def told(found: Evaluation) -> dict[str, Any]:
    """The service's figures and its gaps to what it is compared with, by kind of request."""
    kinds = ("all", *KINDS)
    systems = (found.systems[0], SERVICE, "popularity", "bm25")
    return {
        "shop": found.shop,
        "bundle": found.systems[0],
        "split": found.split,
        "figures": [
            {"slice": row.slice, "system": row.system, "requests": row.requests}
            | {name: row.figures[name].as_dict() for name in _MEASURES}
            for row in found.rows
            if row.slice in kinds and row.system in systems
        ],
        "gaps": [
            {"slice": c.slice, "measure": c.measure, "against": c.against, "p": c.p, **c.gap.as_dict()}
            for c in found.comparisons
            if c.system == SERVICE
            and c.slice in kinds
            and c.measure in _MEASURES
            and c.gap.value == c.gap.value
        ],
    }


def claims(found: Evaluation) -> list[Claim]:
    """Browses find more than popularity; shoppers' photos find no less than without their route."""
    gaps = {(c.slice, c.measure, c.against): c for c in found.comparisons if c.system == SERVICE}
    result = [
        above_zero(f"browse, {measure} less popularity's: lower bound", gap.gap.as_dict())
        for measure in ("Recall@10", "Recall@100")
        if (gap := gaps.get(("browse", measure, "popularity"))) is not None
    ]
    for kind in ("photo", "text+photo"):
        for measure in ("Recall@1", "Recall@10", "Recall@100"):
            if (gap := gaps.get((kind, measure, f"{WITHOUT}p2i"))) is not None:
                name = f"{kind}, {measure} with p2i less without: upper bound"
                result.append(Claim.at_least(name, gap.gap.high, 0.0))
    return result


if __name__ == "__main__":
    sys.exit(main())
