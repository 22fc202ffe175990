"""Search by pictures, on the demo shop: what the route p2i is worth through the whole recall.

Asked are photos of the catalogue itself, whose item has to come first, and what shoppers of the held-out
split searched with: photos of their own, alone or beside words, whose clicked item has to be found. Each is
answered twice, with p2i and without, by the service's own pipeline over an index of the shop.

Figures are shares with 95% intervals, differences paired by query. ``--sweep`` tries other values of the
route's floor, steepness and candidates on the split ``val``.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from artifacts.bundle import Behaviour, Bundle
from artifacts.bundle.text import normalise
from artifacts.cache.keys import picture_digest
from artifacts.shop.shop import Shop
from benchmarks.report import Claim, ProgressLines, arguments, finish
from common.arrays import F64
from common.deadline import Deadline
from common.lru import Lru
from index.embedded.build import build_index
from models.embed import embed_shop
from models.evaluation.heldout import read_requests
from models.evaluation.statistics import Interval, Sums, bootstrap, by_request, difference
from service.admission import LoadShedding
from service.deployment import Deployment, Folders, Worker, open_deployment
from service.pipeline import recall
from service.query.decoder.decoder import PictureDecoder
from service.query.picture import QueryPicture
from service.query.query import Query
from service.recall.settings import Recall
from service.settings import load_settings
from service.telemetry.metrics import Metrics

K = 100
_NO_LOAD = LoadShedding(0.0, 1.0, no_portrait=False)
_tell = ProgressLines()


@dataclass(frozen=True)
class Asked:
    """One request and the item that has to be found; ``group`` counts as one query."""

    kind: str
    text: str
    picture: str
    history: Sequence[Behaviour]
    wanted: str
    group: str


def own_photos(shop: Shop, most: int, seed: int = 1) -> list[Asked]:
    """Catalogue photos that only one item has, drawn without repeats."""
    pictured = [(item.id, item.picture) for item in shop.items() if item.picture]
    counts: dict[str, int] = {}
    for _, picture in pictured:
        counts[picture] = counts.get(picture, 0) + 1
    alone = [(item, picture) for item, picture in pictured if counts[picture] == 1]
    drawn = np.random.default_rng(seed).permutation(len(alone))[:most]
    return [Asked("own photo", "", alone[n][1], (), alone[n][0], alone[n][1]) for n in sorted(drawn)]


def shoppers_photos(shop: Shop, bundle: Bundle, split: str, most: int) -> list[Asked]:
    """Held-out requests with a picture, in the order of the log."""
    settings, depth = bundle.manifest.preprocessing, bundle.manifest.dimensions.history
    requests = read_requests(
        shop,
        split,
        depth=depth,
        held_out=settings.held_out,
        same_item_days=settings.same_item_days,
        same_search_minutes=settings.same_search_minutes,
    )
    return [
        Asked(
            r.kind,
            r.event.query,
            r.event.picture,
            r.history,
            r.event.item,
            f"{r.event.query}|{r.event.picture}",
        )
        for r in requests
        if r.event.picture
    ][:most]


async def places(deployment: Deployment, shop: Shop, asked: Sequence[Asked], options: Recall) -> F64:
    """The place of the wanted item in each answer, from 1; infinite where it is not among the first `K`."""
    found = np.full(len(asked), np.inf)
    for number, each in enumerate(asked):
        data = shop.picture(each.picture)
        query = Query(
            normalise(each.text), K, each.history, None, QueryPicture(data, picture_digest(data)), None
        )
        result = await recall(deployment, query, options, _NO_LOAD, Deadline.after(60), 0.0)
        ids = [item["item_id"] for item in result.items]
        if each.wanted in ids:
            found[number] = 1 + ids.index(each.wanted)
    return found


#: What is measured of a place.
MEASURES: Mapping[str, Any] = {
    "R@1": lambda places: (places <= 1).astype(np.float64),
    "R@10": lambda places: (places <= 10).astype(np.float64),
    "R@100": lambda places: (places <= 100).astype(np.float64),
    "MRR": lambda places: 1.0 / places,
}


def figures(asked: Sequence[Asked], placed: Mapping[str, F64]) -> Iterator[tuple[str, str, str, Interval]]:
    """Kind, measure, system and figure; the system ``p2i`` less ``without`` is called ``difference``."""
    for kind in dict.fromkeys(each.kind for each in asked):
        mask = np.array([each.kind == kind for each in asked])
        groups = {name: n for n, name in enumerate(dict.fromkeys(each.group for each in asked))}
        query = np.array([groups[each.group] for each in asked], dtype=np.int64)
        for name, measure in MEASURES.items():
            sums: dict[str, Sums] = {
                system: by_request(np.where(mask, measure(places), np.nan), query, len(groups))
                for system, places in placed.items()
            }
            for system, figure in sums.items():
                yield kind, name, system, bootstrap(figure)
            yield kind, name, "difference", difference(sums["p2i"], sums["without"])


async def measure(
    bundle: Path, index: Path, shop: Shop, asked: Sequence[Asked], systems: Mapping[str, Mapping[str, Any]]
) -> dict[str, F64]:
    """Places of each system, which changes keys of ``[recall]``."""
    settings = load_settings(None, {"bundle": {"path": bundle}, "index": {"path": index}})
    decoder = PictureDecoder(settings.encoder, settings.limits.picture_pixels)
    worker = Worker(settings, Metrics(), Lru(10_000), decoder)
    deployment = open_deployment(worker=worker, folders=Folders(bundle, index), announce=lambda step: None)
    placed: dict[str, F64] = {}
    try:
        for name, change in systems.items():
            _tell(f"asking: {name}", len(placed), len(systems))
            placed[name] = await places(deployment, shop, asked, settings.recall.changed({"p2i": change}))
    finally:
        await deployment.close()
        decoder.close()
    return placed


def main() -> int:
    """Run it; exit code 0 if all claims hold."""
    options = arguments(
        __doc__ or "",
        [
            ("--shop", {"type": Path, "required": True, "help": "shop folder, as of `mrse shop make`"}),
            ("--bundle", {"type": Path, "required": True, "help": "bundle folder"}),
            ("--work", {"type": Path, "help": "where embeddings and index are kept; else made and removed"}),
            ("--split", {"default": "test", "choices": ["val", "test"]}),
            ("--sweep", {"action": "store_true", "help": "try other settings of the route, on val"}),
        ],
    )
    shop, bundle = Shop.open(options.shop), Bundle.load(options.bundle)
    split = "val" if options.sweep else options.split
    most = 60 if options.quick else 1000
    asked = own_photos(shop, most) + shoppers_photos(shop, bundle, split, most)
    systems: dict[str, dict[str, Any]] = {"without": {"enabled": False}, "p2i": {}}
    if options.sweep:
        for floor, steepness, share in product((0.7, 0.8, 0.9), (1, 2, 4, 8), (0.1, 0.3)):
            change = {"floor": floor, "steepness": steepness, "candidates": share}
            systems[f"floor {floor:g}, steepness {steepness:g}, candidates {share:g}"] = change
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        if not (work / "index").exists():
            embed_shop(shop, bundle, work / "embeddings", progress=_tell)
            build_index(work / "embeddings", work / "index")
        placed = asyncio.run(measure(options.bundle, work / "index", shop, asked, systems))
    runs = [
        {"kind": kind, "measure": name, "system": system, **interval.as_dict()}
        for kind, name, system, interval in figures(asked, placed)
    ]
    return finish(claims(runs), runs, options.json, setting="quick" if options.quick else "full")


def claims(runs: Sequence[Mapping[str, Any]]) -> list[Claim]:
    """Own photos come first; shoppers' photos find no less than without the route."""
    by = {(run["kind"], run["measure"], run["system"]): run for run in runs}
    found = [Claim.at_least("own photos, R@1", by["own photo", "R@1", "p2i"]["value"], 0.95)]
    for kind, name in product(("photo", "text+photo"), ("R@1", "R@10", "R@100")):
        if (run := by.get((kind, name, "difference"))) is not None:
            what = f"{kind}, {name} with p2i less without: upper bound"
            found.append(Claim.at_least(what, run["high"], 0.0))
    return found


if __name__ == "__main__":
    sys.exit(main())
