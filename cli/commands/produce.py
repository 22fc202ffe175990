"""``mrse produce``: fill Redis ahead of the requests, and forget users; `produce_stream` keeps it filled.

Keys carry the bundle version. To warm a new bundle, run the same commands with it while the old one
serves; when traffic moves, its values are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from cli.console import Json, out, print_json, progress
from cli.options import BundleFolder, Device, Embeddings, RedisUrl, ShopFolder, StreamRedis
from common.cores import usable_cores
from common.progress import Progress, stage_progress

if TYPE_CHECKING:
    from producer.job import Job

T = TypeVar("T")
#: Seconds of a day.
DAY_S = 86_400.0

TtlDays = Annotated[
    float, typer.Option(min=0.01, help="Days that a value lives, give or take a tenth; run again before.")
]
Batch = Annotated[
    int, typer.Option(min=64, help="Most rows encoded and not yet written: what a kill can cost.")
]


def queries(
    source: Annotated[
        Path, typer.Argument(help="Shop folder, or a text file with a query on each line.", exists=True)
    ],
    bundle: BundleFolder,
    redis: RedisUrl,
    top: Annotated[int, typer.Option(min=1, help="How many of the most frequent queries.")] = 100_000,
    precision: Annotated[
        Literal["fp32", "fp16", "int8"], typer.Option(help="fp32, fp16 or int8, where the bundle has it.")
    ] = "fp32",
    device: Device = "cpu",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Graph runs side by side; as many as cores if left out.")
    ] = None,
    batch: Batch = 4096,
    ttl_days: TtlDays = 7.0,
    json: Json = False,
) -> None:
    """Encode the queries that are asked most. Killed and started again, it goes on where it stopped.

    Example: `mrse produce queries shop/ --bundle bundles/demo-1a2b3c4d --redis redis://localhost:6379/0`
    """
    from artifacts.bundle import Bundle
    from producer.queries import QueryJob, head_queries

    loaded = Bundle.load(bundle)
    with progress() as report:
        heads = head_queries(_log_queries(source, report), top)
        job = QueryJob(loaded, heads, precision=precision, device=device, threads=threads or usable_cores())
        _fill(job, redis, ttl_days, batch, report, json)


def portraits(
    shop: ShopFolder,
    bundle: BundleFolder,
    features: Annotated[
        Path,
        typer.Option(help="Folder of `mrse embed` or of `mrse index build`.", exists=True, file_okay=False),
    ],
    redis: RedisUrl,
    batch: Batch = 4096,
    ttl_days: TtlDays = 30.0,
    json: Json = False,
) -> None:
    """Store the last behaviours of every user in the log, merged with what is stored already.

    A portrait takes about `history * 400` bytes with a demo bundle; see that Redis has the memory.

    Example: `mrse produce portraits shop/ --bundle bundles/demo-1a2b3c4d --features embeddings/`
    """
    from artifacts.bundle import Bundle
    from artifacts.shop.shop import Shop
    from producer.features import open_features
    from producer.histories import Histories
    from producer.portraits import PortraitJob

    loaded = Bundle.load(bundle)
    manifest = loaded.manifest
    with progress() as report:
        events = _counted(Shop.open(shop).events(), report)
        rows = ((e.user, e.item, e.action, e.ts) for e in events if e.user is not None)
        one_slot = manifest.preprocessing.one_slot
        log = Histories.collect(rows, manifest.dimensions.history, manifest.behaviours, one_slot=one_slot)
        job = PortraitJob(log, open_features(features, log.item_ids), manifest)
        _fill(job, redis, ttl_days, batch, report, json)


def items(
    embeddings: Embeddings,
    redis: RedisUrl,
    batch: Batch = 4096,
    ttl_days: TtlDays = 30.0,
    json: Json = False,
) -> None:
    """Store the features of every item, for Vespa (which does not hold them) and for `mrse produce follow`.

    Example: `mrse produce items embeddings/ --redis redis://localhost:6379/0`
    """
    from producer.features import read_embeddings
    from producer.items import ItemJob

    with progress() as report:
        _fill(ItemJob(read_embeddings(embeddings)), redis, ttl_days, batch, report, json)


def forget(
    user: Annotated[str, typer.Argument(help="Whom to forget.")],
    redis: RedisUrl,
    stream: Annotated[
        str | None, typer.Option(help="Redis Stream of user behaviours, to take the user's entries out of.")
    ] = None,
    stream_redis: StreamRedis = None,
    json: Json = False,
) -> None:
    """Remove a user's portraits, of every bundle, and the user's behaviours from a stream.

    The shop's own log is not touched: take the user out of it, or `mrse produce portraits` stores it again.

    Example: `mrse produce forget u42 --redis redis://localhost:6379/0 --stream behaviours`
    """
    import asyncio

    from producer.forget import forget_behaviours, forget_portraits
    from producer.store import as_produce_error, connect

    behaviours = 0
    if stream is not None:  # first, so that no follower makes a portrait of them again
        with as_produce_error(stream_redis or redis), connect(stream_redis or redis) as client:
            behaviours = forget_behaviours(client, stream, user)
    with as_produce_error(redis):
        removed = asyncio.run(forget_portraits(redis, user))
    if json:
        print_json({"portraits": removed, "behaviours": behaviours})
    else:
        out.print(f"forgotten: {removed:,} portraits, {behaviours:,} behaviours on the stream")


def _log_queries(source: Path, report: Progress) -> Iterator[str]:
    from artifacts.shop.shop import Shop

    if source.is_dir():
        yield from (event.query for event in _counted(Shop.open(source).events(), report) if event.query)
        return
    with source.open(encoding="utf-8", errors="replace") as lines:
        yield from (line.strip() for line in _counted(lines, report))


def _counted(rows: Iterator[T], report: Progress) -> Iterator[T]:
    done = 0
    for done, row in enumerate(rows, start=1):
        if done % 10_000 == 0:
            report("log", done, None)
        yield row
    report("log", done, done)


def _fill(job: Job, redis: str, ttl_days: float, batch: int, report: Progress, json: bool) -> None:
    """Do a job and say what it did."""
    from producer.fill import fill
    from producer.store import Store, as_produce_error, connect

    with as_produce_error(redis), connect(redis) as client:
        store = Store(client, ttl_days * DAY_S)
        filled = fill(job, store, batch=batch, progress=stage_progress(report, job.name))
    if json:
        print_json(asdict(filled))
        return
    resumed = f", after {filled.resumed_from:,} of an earlier run" if filled.resumed_from else ""
    skipped = f", {filled.skipped:,} without a value" if filled.skipped else ""
    out.print(
        f"{filled.job}: {filled.written:,} written{skipped}{resumed} "
        f"for bundle {filled.bundle_version} in {filled.seconds:.1f} s",
        soft_wrap=True,
    )
