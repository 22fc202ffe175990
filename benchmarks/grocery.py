"""Pictures, on GroceryStoreDataset: photo -> product and text -> photo, with the picture's parts taken out.

Asked are the held-out (``val``) photos and text queries; each (query, product) pair counts once.

- photo -> product: the query is a shopper's photo alone; the items are the products as they are.
- text -> photo: the query is text alone; the items are the held-out photos, with nothing but the picture.
  Recall@K is the share of pairs where a photo of the product is among the first K.
- text -> product: beside BM25.
- photo -> product by P2I: the products whose picture features are nearest to the photo's; a product's is the
  mean of its own picture's and of train photos that led to it (`mrse embed --clicked-photos 1`).
- photo -> product, the service: by all routes of `POST /recall`, merged by curves that were fitted on the
  other half of the photos, by one route alone, and as it is without curves; and the products' own pictures
  asked of it (`benchmarks.grocery_service`). Given pictures alone.

Every model is trained alike: whole; without pictures (the experts see none); without VBert (pictures have no
other way in). "Given pictures" has a frozen EfficientNet-Lite0 in the place of the encoder that is trained on
the photos; it is left out where its weights are not installed (the extra ``pictures``). The queries are
derived from the catalogue by rule, nobody typed them.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from artifacts.bundle import Bundle, ItemText, ItemTower, photo_vectors
from artifacts.embeddings import EmbeddingsFolder
from artifacts.shop.importers import import_grocery
from artifacts.shop.shop import Shop
from benchmarks.grocery_service import OWN, WHOLE, service_ranks
from benchmarks.report import Claim, ProgressLines, arguments, finish
from common.arrays import F32
from models.embed import embed_shop
from models.evaluation.answers import find_ranks
from models.evaluation.bm25 import Bm25
from models.evaluation.heldout import Request, read_requests
from models.evaluation.retriever import Retriever
from models.evaluation.statistics import Sums, bootstrap, by_request, difference
from models.export.bundle import export
from models.pictures import PictureFeatures
from models.towers import Config, preset
from models.training import train
from models.training.pretrained.cnn import PACKAGE, PACKAGED

AT = (1, 10)
#: Over the preset ``demo``: few products, many photos of each.
SETTINGS: dict[str, Any] = {
    "image.epochs": 36,
    "image.crop": 0.6,
    "image.colour": 0.3,
    "experts.dropout": 0.1,
    "loss.beta": 0.2,
    "loss.mined_share": 0,
    "stage2.steps": 400,
}
#: Its settings are *inferred*: nothing was chosen by a measurement.
GIVEN = "given pictures"
SYSTEMS: dict[str, dict[str, Any]] = {
    "whole": {},
    "no pictures": {"switches.picture": False},
    "no VBert": {"switches.vbert": False},
    GIVEN: {"image.cnn": PACKAGED, "image.cnn_side": 160, "image.dims": 256},
}
TASKS = ("photo -> product", "text -> photo", "text -> product", "photo -> product by P2I")
_tell = ProgressLines()
_AT_ONCE = 64


def configure(system: str, seed: int, quick: bool, work: Path) -> Config:
    """The configuration of a system; what a given encoder says is kept below ``work`` for all seeds."""
    base = preset("tiny" if quick else "demo").with_overrides({} if quick else SETTINGS)
    kept = {"image.cache": str((work / "features").resolve())} if system == GIVEN else {}
    return base.with_overrides({**SYSTEMS[system], **kept, "seed": seed})


def photo_embeddings(bundle: Bundle, shop: Shop, photos: Sequence[str]) -> F32:
    """Item embeddings ``[n, e]`` of items that have a picture and nothing else."""
    tower, side = ItemTower(bundle), bundle.manifest.picture.side
    parts = []
    for start in range(0, len(photos), _AT_ONCE):
        pixels = np.stack([shop.pixels(photo, side) for photo in photos[start : start + _AT_ONCE]])
        nothing = [ItemText("", "", "")] * len(pixels)
        parts.append(tower.embeddings(tower.features(nothing, [*tower.picture_features(pixels)])))
    return np.concatenate(parts)


def measure(
    bundle_path: Path,
    embeddings: Path,
    shop: Shop,
    asked: dict[str, list[Request]],
    photos: Sequence[Request],
) -> dict[str, list[int]]:
    """Rank of what was wanted for each request of each task, from 1, 0 for beyond the deepest of `AT`."""
    bundle = Bundle.load(bundle_path)
    retriever = Retriever(bundle, shop, embeddings, threads=1)
    wanted = {
        kind: np.array([retriever.rows[r.event.item] for r in requests]) for kind, requests in asked.items()
    }
    queries = {kind: retriever.embed(requests) for kind, requests in asked.items()}
    shown = photo_embeddings(bundle, shop, [r.event.picture or "" for r in photos])
    products = np.array([r.event.item for r in photos])
    names = np.array([r.event.item for r in asked["text"]])
    deep = max(AT)
    ranks = {
        TASKS[0]: find_ranks(retriever.top(queries["photo"], deep), wanted["photo"]),
        TASKS[1]: find_ranks(products[retriever.top(queries["text"], deep, shown)], names),
        TASKS[2]: find_ranks(retriever.top(queries["text"], deep), wanted["text"]),
    }
    known = EmbeddingsFolder.open(embeddings).pictures
    if known is not None and bundle.manifest.training["switches"]["picture"]:
        seen = PictureFeatures(shop, retriever.tower, 1).features([r.event.picture for r in asked["photo"]])
        asks = photo_vectors(np.stack([feature for feature in seen if feature is not None]))
        ranks[TASKS[3]] = find_ranks(retriever.top(asks, deep, known.astype(np.float32)), wanted["photo"])
    return {task: found.tolist() for task, found in ranks.items()}


def _bm25(shop: Shop, asked: Sequence[Request]) -> list[int]:
    rows = {item.id: row for row, item in enumerate(shop.items())}
    top = Bm25.over(shop).top([r.event.query for r in asked], max(AT))
    ranks: list[int] = find_ranks(top, np.array([rows[r.event.item] for r in asked])).tolist()
    return ranks


def _run(
    system: str,
    config: Config,
    shop: Shop,
    work: Path,
    asked: dict[str, list[Request]],
    photos: Sequence[Request],
    donor: Path | None,
) -> tuple[dict[str, Any], Path]:
    """Ranks of one training, read back where they are there; and its run folder."""
    key = hashlib.sha256(f"{config.fingerprint()} {shop.fingerprint()}".encode()).hexdigest()[:12]
    folder = work / f"run-{key}"
    stored = folder / "ranks.json"
    if not stored.is_file():
        print(f"{system}, seed {config.seed}", file=sys.stderr)
        summary = train(shop.path, folder / "run", config, _tell, donor=donor)
        found = sorted((folder / "bundles").glob("*/manifest.json"))
        bundle = found[0].parent if found else export(folder / "run", folder / "bundles", "grocery")
        embed_shop(shop, Bundle.load(bundle), folder / "embeddings", photos=1, progress=_tell, threads=1)
        ranks = measure(bundle, folder / "embeddings", shop, asked, photos)
        if system == GIVEN:
            ranks |= service_ranks(bundle, folder / "embeddings", shop, asked["photo"], folder, _tell)
        stored.write_text(json.dumps({"seed": config.seed, "seconds": summary.seconds, "ranks": ranks}))
    outcome: dict[str, Any] = json.loads(stored.read_text())
    return outcome, folder / "run"


def _sums(runs: Sequence[dict[str, Any]], task: str, k: int) -> Sums:
    """Recall@K of a system: means over its seeds, request by request."""
    ranks = np.array([run["ranks"][task] for run in runs])
    hits = ((ranks > 0) & (ranks <= k)).mean(axis=0)
    return by_request(hits, np.arange(len(hits)), len(hits))


def plot(table: dict[str, dict[str, dict[str, Any]]], target: Path) -> None:
    """Recall@1 and @10 of each system, a panel a task."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(TASKS), figsize=(13, 3.5), sharey=True, layout="constrained")
    for axis, task in zip(axes, TASKS, strict=True):
        systems = [name for name, tasks in table.items() if task in tasks]
        for shift, k in enumerate(AT):
            found = [table[name][task][f"R@{k}"] for name in systems]
            places = np.arange(len(systems)) + shift * 0.4
            axis.bar(places, [f["value"] for f in found], width=0.4, label=f"Recall@{k}")
            for place, f in zip(places, found, strict=True):
                axis.plot([place, place], [f["low"], f["high"]], color="black")
        axis.set_xticks(np.arange(len(systems)) + 0.2, systems, fontsize=8)
        axis.set_title(task)
    axes[0].legend()
    figure.savefig(target, dpi=120)


def main() -> int:
    """Measure, print, write."""
    options = arguments(
        "Photos and text on GroceryStoreDataset, with and without the picture's parts",
        [
            ("--data", {"type": Path, "required": True, "help": "the data set, as `mrse import` takes it"}),
            ("--work", {"type": Path, "default": Path(".run/grocery"), "help": "where runs are kept"}),
            ("--seeds", {"type": int, "default": 1, "help": "trainings of each system"}),
            ("--only", {"choices": list(SYSTEMS), "help": "one system alone"}),
        ],
    )
    import_grocery(options.data, options.work / "shop", lambda done, total: _tell("import", done, total))
    shop = Shop.open(options.work / "shop")
    requests = read_requests(shop, "val", depth=1, held_out=0.05, same_item_days=1.0)
    asked = {kind: [r for r in requests if r.kind == kind] for kind in ("photo", "text")}
    # Shuffled, so that a model to which all photos look alike gets what chance gives.
    order = np.random.default_rng(0).permutation(len(asked["photo"]))
    photos = [asked["photo"][place] for place in order]
    seeds = 1 if options.quick else options.seeds
    runs: dict[str, list[dict[str, Any]]] = {}
    donors: dict[Any, Path] = {}
    for seed in range(7, 7 + seeds):
        for system in SYSTEMS:
            if options.only not in (None, system):
                continue
            if system == GIVEN and find_spec(PACKAGE) is None:
                print(f"{system}: left out, {PACKAGE} is not installed", file=sys.stderr)
                continue
            config = configure(system, seed, options.quick, options.work)
            # The picture stage does not depend on what the towers do with it, but on its own seed.
            stage = (seed, config.image, config.switches.picture)
            outcome, folder = _run(system, config, shop, options.work, asked, photos, donors.get(stage))
            donors.setdefault(stage, folder)
            runs.setdefault(system, []).append(outcome)
    runs["BM25"] = [{"ranks": {TASKS[2]: _bm25(shop, asked["text"])}}]
    table = {
        system: {
            task: {f"R@{k}": bootstrap(_sums(found, task, k)).as_dict() for k in AT}
            for task in found[0]["ranks"]
        }
        for system, found in runs.items()
    }
    print(f"{len(asked['photo'])} photos, {len(asked['text'])} (text, product) pairs")
    for system, tasks in table.items():
        for task, figures in tasks.items():
            cells = "   ".join(f"{figures[f'R@{k}']['value']:.3f}" for k in AT)
            print(f"{system:<16}{task:<46}{cells}")
    claims = [
        Claim(
            f"{task}: Recall@10, whole over {other}",
            round(gap.value, 4),
            "low of 95% > 0",
            bool(gap.low > 0),
        )
        for task in TASKS[:2]
        for other in ("no pictures", "no VBert")
        if {"whole", other} <= runs.keys()
        for gap in [difference(_sums(runs["whole"], task, 10), _sums(runs[other], task, 10))]
    ]
    if GIVEN in runs:
        for task, (k, goal) in product((TASKS[0], TASKS[3], WHOLE), ((1, 0.60), (10, 0.93))):
            found = bootstrap(_sums(runs[GIVEN], task, k)).value
            claims.append(Claim.at_least(f"{task}: Recall@{k}, {GIVEN}", found, goal))
        found = bootstrap(_sums(runs[GIVEN], OWN, 1)).value
        claims.append(Claim.at_least(f"{OWN}: Recall@1, {GIVEN}", found, 0.90))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        plot(table, options.json.with_suffix(".png"))
    report = {
        "recall": table,
        "photos": len(asked["photo"]),
        "texts": len(asked["text"]),
        "seeds": {
            system: [{"seed": r["seed"], "seconds": round(r["seconds"], 1)} for r in found if "seed" in r]
            for system, found in runs.items()
        },
    }
    return finish(claims, report, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
