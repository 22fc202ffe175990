"""Next basket from history alone: the last invoice of each customer, found by what they bought before.

Protocol: leave the last invoice out. Asked is every customer of two invoices or more, for the distinct items
of the last; everything bought before it is history, and all that is not held out trains, co-clicks and
popularity included. Recall@100 is the mean over customers of the share of those items among 100. For *new*
items own ones are taken off every list, the baselines' too, and customers who bought nothing new do not
count. Ours is the service, in this process: browse requests with the customer's history, both routes, merged.
Everything in `SETTINGS` and `RECALL` was chosen with ``--validate``, which leaves the last invoices out and
asks for the last but one.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from artifacts.bundle import Bundle
from artifacts.shop.importers import import_online_retail
from artifacts.shop.shop import Shop
from benchmarks.online_retail_split import (
    Customer,
    Figures,
    customers,
    figures,
    hold_out,
    own_first,
    popularity,
)
from benchmarks.report import Claim, ProgressLines, arguments, finish
from index.embedded.build import build_index
from models.embed import embed_shop
from models.evaluation.statistics import Interval, Sums, bootstrap, by_request, difference
from models.export.bundle import export
from models.towers import Config, preset
from models.training import train
from service.app import create_app
from service.settings import load_settings

K = 100
#: Over the preset ``demo``. Chosen with ``--validate``.
SETTINGS: dict[str, Any] = {
    "dimensions.history": 100,
    "dimensions.expert_dim": 128,
    "experts.hidden": 32,
    "experts.layers": 1,
    "experts.dropout": 0.1,
    "fusion.hidden": 512,
    # People buy again what they bought: that is not a visit that goes on.
    "data.same_item_days": 0,
    "data.same_search_minutes": 0,
    # An invoice is one visit of many items that have no order.
    "data.coclick_top": 50,
    "data.coclick_following": 200,
    "data.coclick_cosine": True,
    "data.companion_share": 2,
    # Popularity counts: without the correction the softmax would take it out.
    "loss.logq": True,
    # Nobody asked for anything, so nothing is of low relevance.
    "loss.beta": 0,
    "stage1.steps": 200,
    "stage1.rate": 5e-3,
    "stage2.steps": 300,
    "stage2.uniform": 4,
}
#: How the service recalls. Chosen with ``--validate``.
RECALL: dict[str, Any] = {
    "q2i": {"share": 0},
    # Customers buy again what they bought: what all others buy has nothing to add.
    "popular": {"browse_worth": 0},
    "i2i": {
        "own_bonus": 0.2,
        "triggers": 100,
        "neighbours": 1,
        "trigger_max_age_days": 10_000,
        "calibration": 0,
        "candidates": 1,
        "share": 0,
    },
}
_SYSTEMS = ("ours", "own items, then popularity", "popularity")
_AT_ONCE = 8
_tell = ProgressLines()


def configure(seed: int, quick: bool) -> Config:
    """The configuration of a run."""
    if quick:
        kept = {key: value for key, value in SETTINGS.items() if key.startswith(("data.", "loss."))}
        return preset("tiny").with_overrides({**kept, "dimensions.history": 20, "seed": seed})
    return preset("demo").with_overrides({**SETTINGS, "seed": seed})


def run(shop: Shop, folder: Path, config: Config) -> tuple[Path, Path, float]:
    """Train, export, embed and index, each unless it is done; gives bundle and index, and seconds trained."""
    began = time.monotonic()
    train(shop.path, folder / "run", config, _tell)
    summary = folder / "seconds.json"
    if not summary.is_file():
        summary.write_text(json.dumps(time.monotonic() - began))
    found = sorted((folder / "bundles").glob("*/manifest.json"))
    bundle = found[0].parent if found else export(folder / "run", folder / "bundles", "retail")
    index = folder / "index"
    if not (index / "index.json").is_file():
        embed_shop(shop, Bundle.load(bundle), folder / "embeddings", progress=_tell)
        build_index(folder / "embeddings", index)
    return bundle, index, float(json.loads(summary.read_text()))


def answers(
    bundle: Path, index: Path, asked: Sequence[Customer], recall: dict[str, Any]
) -> dict[str, list[str]]:
    """What the service gives each customer, best first: at least `K` items that are not their own."""
    settings = load_settings(
        None,
        {
            "bundle": {"path": bundle},
            "index": {"path": index},
            "recall": recall,
            "limits": {"max_k": 10_000},
            "deadline": {"default_ms": 10_000},
            "server": {"access_log": False},
        },
    )
    return asyncio.run(_ask(create_app(settings), asked))


async def _ask(app: Any, asked: Sequence[Customer]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    turns = asyncio.Semaphore(_AT_ONCE)

    async def ask(client: httpx.AsyncClient, customer: Customer) -> None:
        # The service counts ages from today, so that the whole past moves to where it ends today.
        later = datetime.now(UTC) - customer.at
        history = [
            {"item_id": b.item_id, "action": b.action, "ts": (b.ts + later).isoformat()}
            for b in customer.bought[-200:]
            if b.ts is not None
        ]
        body = {"history": history, "k": K + len(customer.own)}
        async with turns:
            answer = await client.post("/recall", json=body)
        answer.raise_for_status()
        found[customer.user] = [item["item_id"] for item in answer.json()["items"]]
        _tell("customers", len(found), len(asked))

    async with app.router.lifespan_context(app):
        while not app.state.runtime.ready:  # noqa: ASYNC110 -- tells of no event
            await asyncio.sleep(0.05)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            await asyncio.gather(*(ask(client, customer) for customer in asked))
    return found


def _measured(shop: Shop, work: Path, asked: Sequence[Customer], config: Config) -> dict[str, Any]:
    """Figures of one seed, read back where they are there."""
    identity = json.dumps([config.fingerprint(), shop.fingerprint(), RECALL, K], sort_keys=True)
    folder = work / f"run-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    stored = folder / "figures.json"
    if not stored.is_file():
        bundle, index, seconds = run(shop, folder, config)
        found = answers(bundle, index, asked, RECALL)
        got = figures(lambda customer: found[customer.user], asked, K)
        values = {name: [None if v != v else v for v in column.tolist()] for name, column in _columns(got)}
        stored.write_text(json.dumps({"seed": config.seed, "seconds": round(seconds, 1), **values}))
    outcome: dict[str, Any] = json.loads(stored.read_text())
    return outcome


def _columns(got: Figures) -> list[tuple[str, np.ndarray]]:
    return [(field.name, getattr(got, field.name)) for field in dataclasses.fields(got)]


def _sums(values: np.ndarray) -> Sums:
    return by_request(values, np.arange(len(values)), len(values))


def plot(table: dict[str, dict[str, Interval]], target: Path) -> None:
    """Recall@100 of each system with its interval, of all items and of new ones."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(8, 3.5), layout="constrained")
    for axis, (kind, title) in zip(axes, (("all", "last invoice"), ("new", "new items only")), strict=True):
        for place, system in enumerate(_SYSTEMS):
            value = table[system][kind]
            axis.bar(place, value.value, color="C0" if system == "ours" else "C7")
            axis.plot([place, place], [value.low, value.high], color="black")
        axis.set_xticks(range(len(_SYSTEMS)), ["ours", "own, then\npopular", "popular"])
        axis.set_title(title)
    axes[0].set_ylabel(f"Recall@{K}")
    figure.savefig(target, dpi=120)


def main() -> int:
    """Measure, print, write."""
    options = arguments(
        "Next basket from history alone on UCI Online Retail",
        [
            ("--data", {"type": Path, "required": True, "help": "the data set, as `mrse import` takes it"}),
            ("--work", {"type": Path, "default": Path(".run/online-retail"), "help": "where runs are kept"}),
            ("--seeds", {"type": int, "default": 1, "help": "trainings"}),
            ("--validate", {"action": "store_true", "help": "ask for the last invoice but one"}),
        ],
    )
    work = options.work / ("validate" if options.validate else "test")
    import_online_retail(
        options.data, options.work / "shop", lambda done, total: _tell("import", done, total)
    )
    shop = hold_out(Shop.open(options.work / "shop"), work / "shop", validation=options.validate)
    events = list(shop.events())
    asked, popular = customers(events), popularity(events)
    print(f"{len(asked):,} customers with a last invoice and one before it", file=sys.stderr)
    seeds = 1 if options.quick else options.seeds
    runs = [_measured(shop, work, asked, configure(seed, options.quick)) for seed in range(7, 7 + seeds)]
    # Means over seeds, customer by customer.
    ours = Figures(
        *(np.mean([np.array(r[kind], dtype=float) for r in runs], axis=0) for kind in ("all", "new"))
    )
    values = dict(
        zip(
            _SYSTEMS,
            (
                ours,
                figures(lambda customer: own_first(customer, popular), asked, K),
                figures(lambda customer: popular, asked, K),
            ),
            strict=True,
        )
    )
    table = {
        system: {kind: bootstrap(_sums(v)) for kind, v in _columns(got)} for system, got in values.items()
    }
    print(f"{'Recall@100':<28}{'all':>8}{'':>18}{'new':>8}")
    for system, row in table.items():
        shown = (f"{row[kind].value:>8.4f}  [{row[kind].low:.4f}, {row[kind].high:.4f}]" for kind in row)
        print(f"{system:<28}" + "".join(shown))
    rival, popular_only = values[_SYSTEMS[1]], values[_SYSTEMS[2]]
    gain = difference(_sums(ours.all), _sums(rival.all))
    print(f"ours over own items, then popularity: {gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]")
    ratio = float(np.nanmean(ours.new) / np.nanmean(popular_only.new))
    claims = [
        Claim.at_least("all items: Recall@100 over own items, then popularity", gain.value, 0.0),
        Claim.at_least("new items: Recall@100 over popularity's", ratio, 1.5, "x"),
    ]
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        plot(table, options.json.with_suffix(".png"))
    report = {
        "customers": len(asked),
        "customers_new": int((~np.isnan(ours.new)).sum()),
        "recall": {s: {k: v.as_dict() for k, v in row.items()} for s, row in table.items()},
        "gain": gain.as_dict(),
        "seeds": [
            {
                "seed": r["seed"],
                "seconds": r["seconds"],
                **{k: float(np.nanmean(np.array(r[k], dtype=float))) for k in ("all", "new")},
            }
            for r in runs
        ],
        "target": "last but one" if options.validate else "last",
    }
    return finish(claims, report, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
