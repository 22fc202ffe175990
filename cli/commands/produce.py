"""``mrse produce``: fill Redis ahead of the requests, and keep it filled.

Keys carry the bundle version. To warm a new bundle, run the same commands with it while the old one
serves; when traffic moves, its values are there.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from artifacts.actions import ACTIONS
from cli.console import Json, err, fail, out, print_json, progress
from cli.options import BundleFolder, Device, Embeddings, RedisUrl, ShopFolder, StreamRedis
from common.cores import usable_cores
from common.errors import USAGE
from common.progress import Progress, stage_progress

if TYPE_CHECKING:
    from producer.job import Job

T = TypeVar("T")
_DAY_S = 86_400.0

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


def follow(
    bundle: BundleFolder,
    redis: RedisUrl,
    stream: Annotated[str, typer.Option(help="Redis Stream of user behaviours.")],
    stream_redis: StreamRedis = None,
    group: Annotated[
        str | None, typer.Option(help="Consumer group; by default one for each bundle.", show_default=False)
    ] = None,
    consumer: Annotated[
        str | None, typer.Option(help="Name among the group; by default host and process id.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Entries taken at once.")] = 256,
    claim_idle_s: Annotated[
        float, typer.Option(min=0.1, help="Seconds after which another's unfinished entries are taken over.")
    ] = 5.0,
    metrics_port: Annotated[int | None, typer.Option(min=1, max=65535, help="Serve /metrics here.")] = None,
    ttl_days: TtlDays = 30.0,
) -> None:
    """Refresh portraits as users act, until stopped. Start as many as needed, on any machine.

    Entries have the fields user, item, action (BEHAVIOUR) and ts (ISO 8601; without it, the time
    of arrival). Malformed ones go to `NAME:dead` with the reason. Features come from `mrse produce items`.

    Example: `mrse produce follow --bundle bundles/demo-1a2b3c4d --stream behaviours --metrics-port 9108`
    """
    from artifacts.bundle import Bundle
    from producer.follow import Follower, FollowOptions
    from producer.metrics import FollowMetrics
    from producer.refresh import Refresher
    from producer.store import Store, as_produce_error, connect
    from producer.stream import BehaviourStream
    from service.telemetry.logs import configure

    configure("info")
    loaded = Bundle.load(bundle)
    metrics = FollowMetrics()
    cache = connect(redis)
    source = connect(stream_redis) if stream_redis else cache
    me = consumer or f"{socket.gethostname()}-{os.getpid()}"
    store = Store(cache, ttl_days * _DAY_S)
    refresher = Refresher(store, loaded.manifest, metrics.unknown_items.inc)
    follower = Follower(
        BehaviourStream(source, stream, group or f"mrse-{loaded.version}", me),
        refresher,
        metrics,
        FollowOptions(count=count, claim_idle_s=claim_idle_s),
    )
    try:
        close = metrics.serve(metrics_port) if metrics_port else None
    except OSError as error:
        fail(f"--metrics-port {metrics_port}: {error}", USAGE)
    err.print(f"following {stream} for bundle {loaded.version}; stop with Ctrl-C")
    try:
        with as_produce_error(stream_redis or redis):
            follower.run(_stopped())
    finally:
        if close:
            close()


def popular(
    embeddings: Embeddings,
    redis: RedisUrl,
    stream: Annotated[str, typer.Option(help="Redis Stream of user behaviours.")],
    to: Annotated[Path, typer.Option("--out", help="JSON Lines file of changes to write.", dir_okay=False)],
    engine: Annotated[
        Literal["embedded", "vespa"],
        typer.Option("--for", help="Whose form the changes have: `mrse index update` or `mrse vespa feed`."),
    ] = "embedded",
    json: Json = False,
) -> None:
    """Write how popular items are by now, for those with which something was done since the log ended.

    The others keep their value: all fade alike, so the order stays. Run it as often as you like, say every
    ten minutes, and apply the file: `mrse index update index/ FILE`, `mrse vespa feed --changes FILE`.

    Example: `mrse produce popular embeddings/ --redis redis://localhost --stream behaviours --out new.jsonl`
    """
    from datetime import UTC, datetime

    import orjson

    from artifacts.embeddings import EmbeddingsFolder
    from artifacts.popularity import POPULARITY
    from common.files import replacing
    from producer.popular import popular_changes
    from producer.store import as_produce_error, connect

    folder = EmbeddingsFolder.open(embeddings)
    with as_produce_error(redis), connect(redis) as client:
        found = popular_changes(folder, client, stream, datetime.now(UTC))
    with replacing(to) as path, path.open("wb") as file:
        for item_id, popularity in found.values.items():
            values = {POPULARITY: popularity}
            change = values if engine == "embedded" else {"attributes": values}
            file.write(orjson.dumps({"id": item_id, **change}) + b"\n")
    spec = folder.meta.popularity
    if spec is not None and found.since is not None and found.since > spec.as_of:
        gap = datetime.fromtimestamp(spec.as_of, UTC), datetime.fromtimestamp(found.since, UTC)
        err.print(
            f"the log ends at {gap[0]:%Y-%m-%d %H:%M}, the stream begins at {gap[1]:%Y-%m-%d %H:%M}: "
            "what was done between is not counted",
            soft_wrap=True,
        )
    if json:
        print_json(
            {
                "path": str(to),
                "items": len(found.values),
                "behaviours": found.behaviours,
                "unknown": found.unknown,
                "malformed": found.malformed,
            }
        )
        return
    odd = [
        f"{n:,} {what}"
        for n, what in ((found.unknown, "on unknown items"), (found.malformed, "malformed"))
        if n
    ]
    out.print(
        f"{to}: {len(found.values):,} items, from {found.behaviours:,} behaviours"
        + (f"; left out: {', '.join(odd)}" if odd else ""),
        soft_wrap=True,
    )


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


# `mrse produce follow --help` names the actions that extensions registered, too.
follow.__doc__ = (follow.__doc__ or "").replace("BEHAVIOUR", ACTIONS.any_behaviour())


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
        store = Store(client, ttl_days * _DAY_S)
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


def _stopped() -> threading.Event:
    """Set by Ctrl-C and by SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
