"""``mrse calibrate``: what the scores of routes are worth, fitted on held-out requests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from cli.commands.evaluate import check_split
from cli.console import Json, out, print_json, progress
from cli.options import BundleFolder, ShopFolder
from common.errors import MrseError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Held-out requests below which a curve is noise. *Inferred*.
FEWEST = 50


def calibrate(
    data: ShopFolder,
    bundle: BundleFolder,
    index: Annotated[Path, typer.Option(help="Index folder, or the version's file of Vespa.", exists=True)],
    split: Annotated[str, typer.Option(help="Which held-out events: val or test.")] = "val",
    requests: Annotated[int, typer.Option(min=FEWEST, help="Held-out requests, drawn evenly.")] = 1000,
    k: Annotated[int, typer.Option(min=10, max=1000, help="Items that each route is asked for.")] = 100,
    config: Annotated[
        Path | None, typer.Option(help="The service's configuration, for [recall].", exists=True)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure, and write nothing.")] = False,
    json: Json = False,
) -> None:
    """Fit what the scores of words and pictures are worth beside cosines, and tell each route's worth.

    Asks the routes that the service would ask, and writes the curves beside the index, as INDEX.calibration;
    a service takes them when it opens the index, for `recall.merge = "calibrated"`. Figures are of requests
    that the curves they are merged by were not fitted on (two halves, by query). Where that is no better than
    the built-in curves are on the same requests, these stay: a few clicks can say too little. Build the index
    from embeddings with `--behaviours train`, or it has seen what is held out.

    Example: `mrse calibrate shop/ --bundle bundles/acme-1a2b3c4d --index index/`
    """
    check_split(split)
    import asyncio
    import math

    from artifacts.bundle import Bundle
    from artifacts.bundle.text import normalise
    from cli.fitted_curves import figures_of, fitted, is_better
    from common.progress import stage_progress
    from service.offline import collect
    from service.recall.calibration import BESIDE_WORDS, BUILT_IN, Calibration, beside
    from service.recall.fitting import Limit, judged_of
    from service.recall.routes.p2i import P2ISettings
    from service.settings import load_settings

    version = Bundle.load(bundle).version
    places = {"bundle": {"path": bundle}, "index": {"path": index}}
    # How near a picture has to be is what is asked: nothing is cut off beforehand.
    settings = load_settings(config, {**places, "recall": {"p2i": {"floor": -1, "candidates": 1}}})
    usual = load_settings(config, places).recall.tables["p2i"]
    assert isinstance(usual, P2ISettings)
    limit = Limit(usual.floor, math.ceil(usual.candidates * k))
    limits = dict.fromkeys(("p2i", "p2i" + BESIDE_WORDS), limit)
    asked, gains, query = _held_out(data, bundle, split, requests)
    if len(asked) < FEWEST:
        raise MrseError(
            f"{data} has {len(asked)} held-out requests in {split}; fewer than {FEWEST} say nothing: "
            "the curves that are built in stay"
        )
    with progress() as tell:
        found = asyncio.run(collect(settings, asked, k, stage_progress(tell, "routes")))
        judged = [
            judged_of(routes, gain, words=bool(normalise(each.text)))
            for each, routes, gain in zip(asked, found, gains, strict=True)
        ]
        tell("fit", 0, 3)
        mixes, curves = fitted(judged, query, limits, version, FEWEST)
        tell("fit", 3, 3)
    figures = figures_of(judged, query, mixes, limits)
    better = is_better(figures, curves)
    calibration = Calibration(
        bundle=version,
        # A route that was not asked, such as one that is turned off, keeps what it had.
        curves={**BUILT_IN.curves, **curves} if better else BUILT_IN.curves,
        fitted={
            "shop": data.name, "split": split, "requests": len(judged), "k": k,
            "kept": "fitted" if better else "built-in", "figures": figures,
        },
    )  # fmt: skip
    path = beside(index)
    if not dry_run:
        calibration.write(path)
    if json:
        print_json(calibration.model_dump(mode="json") | {"path": None if dry_run else str(path)})
        return
    _show(figures, len(judged))
    for sentence in _findings(figures, better=better):
        out.print(sentence)
    for name, curve in (curves if better else BUILT_IN.curves).items():
        line = ", ".join(f"{x:g}: +{y:g}" for x, y in curve.points)
        out.print(f"{name}: {line}" + (" of its best score" if curve.scale == "top" else ""))
    written = f"{path}: version {calibration.version}; a service that runs takes it when it is restarted"
    out.print("not written (--dry-run)" if dry_run else written)


def _findings(figures: Mapping[str, Any], *, better: bool) -> list[str]:
    """What the figures say that is not to be overlooked, as sentences."""
    from cli.fitted_curves import MEASURES

    found = []
    if not better:
        found.append(
            "the built-in curves stay: what was fitted on one half of the requests is worse than they are on "
            "the other half; more held-out requests can say more (--requests)"
        )
    for name, row in figures.items():
        gain = row[MEASURES[0]]
        if name.startswith("worth of") and gain["high"] is not None and gain["high"] < 0.0:
            route = name.removeprefix("worth of ")
            found.append(f"{route} does harm: without it {MEASURES[0]} is better by {-gain['value']:.3f}")
    return found


def _held_out(
    data: Path, bundle: Path, split: str, most: int
) -> tuple[list[Any], list[Mapping[str, float]], list[int]]:
    """Requests, the items that were clicked for their queries in the split, and the number of each query."""
    from artifacts.bundle import Bundle
    from artifacts.shop.pictures import read_picture
    from artifacts.shop.shop import Shop
    from models.evaluation.heldout import HeldOut, read_requests
    from models.evaluation.subject import spread
    from service.offline import Asked

    shop, manifest = Shop.open(data), Bundle.load(bundle).manifest
    as_trained = manifest.preprocessing
    every = read_requests(
        shop,
        split,
        depth=manifest.dimensions.history,
        held_out=as_trained.held_out,
        same_item_days=as_trained.same_item_days,
        same_search_minutes=as_trained.same_search_minutes,
    )
    rows = {item.id: row for row, item in enumerate(shop.items())}
    held = HeldOut.number(every, rows, None)
    clicked: dict[int, dict[str, float]] = {}
    for request, number in zip(held.requests, held.query.tolist(), strict=True):
        clicked.setdefault(number, {})[request.event.item] = 1.0
    folder = shop.path / shop.schema.pictures
    asked, numbers = [], []
    gains: list[Mapping[str, float]] = []
    for place in spread(len(held.requests), most).tolist():
        request, number = held.requests[place], int(held.query[place])
        picture = request.event.picture
        content = None if picture is None else read_picture(folder, picture)
        asked.append(Asked(request.event.query, content, request.history))
        gains.append(clicked[number])
        numbers.append(number)
    return asked, gains, numbers


def _show(figures: Mapping[str, Any], requests: int) -> None:
    from cli.fitted_curves import MEASURES

    table = Table("", *MEASURES, title=f"{requests:,} held-out requests; 95% intervals by query")
    for name, row in figures.items():
        signed = "less" in name or "worth" in name
        cells = [_cell(row[measure], signed=signed) for measure in MEASURES]
        table.add_row(name, *cells)
    out.print(table)


def _cell(figure: Mapping[str, float | None], *, signed: bool) -> str:
    value, low, high = figure["value"], figure["low"], figure["high"]
    if value is None or low is None or high is None:
        return ""
    form = "+.3f" if signed else ".3f"
    return f"{value:{form}} ({low:{form}} to {high:{form}})"
