"""``mrse produce`` of a stream of behaviours: portraits as users act, and how popular items are by now."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path
from typing import Annotated, Literal

import typer

from artifacts.actions import ACTIONS
from cli.commands.produce import DAY_S, TtlDays
from cli.console import Json, err, fail, out, print_json
from cli.options import BundleFolder, Embeddings, RedisUrl, StreamRedis
from common.errors import USAGE


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
    store = Store(cache, ttl_days * DAY_S)
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


# `mrse produce follow --help` names the actions that extensions registered, too.
follow.__doc__ = (follow.__doc__ or "").replace("BEHAVIOUR", ACTIONS.any_behaviour())


def _stopped() -> threading.Event:
    """Set by Ctrl-C and by SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
