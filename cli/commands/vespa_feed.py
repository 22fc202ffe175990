"""``mrse vespa feed`` and ``prune``: filling a version, and taking out what left the catalogue."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.commands.vespa_changes import Changes, feed_changes, tell
from cli.console import Json, counted, err, fail, out, print_json, progress
from cli.options import Embeddings, MaybeEmbeddings, or_file
from cli.vespa_options import Access, Endpoint, OfVectors, Package, open_embeddings, settings_for, with_access
from common.errors import NOT_IN_ORDER, USAGE


@with_access
def feed(
    package: Package,
    endpoint: Endpoint,
    access: Access,
    embeddings: MaybeEmbeddings = None,
    changes: Annotated[
        Path | None,
        typer.Option(
            help="JSONL of changes to feed instead of all items; - for standard input.",
            exists=True,
            allow_dash=True,
        ),
    ] = None,
    follow: Annotated[
        str | None,
        typer.Option(help="Redis Stream whose entries have a change in the field `change`; until stopped."),
    ] = None,
    redis: Annotated[
        str | None,
        typer.Option(
            envvar="MRSE_REDIS_URL",
            callback=or_file("MRSE_REDIS_URL"),
            help="Redis of the stream.",
            show_default=False,
        ),
    ] = None,
    group: Annotated[str, typer.Option(help="Consumer group on the stream.")] = "mrse-vespa",
    as_of: Annotated[
        str | None,
        typer.Option(
            help="When the shop was exported that the folder is made of, as 2026-11-26T02:00Z or in "
            "microseconds; later changes are kept. By default when the folder was written.",
            show_default=False,
        ),
    ] = None,
    part: Annotated[
        str, typer.Option(help="Part of the folder, as 2/8; each part may be fed by another process.")
    ] = "1/1",
    journal: Annotated[Path | None, typer.Option(help="Where progress is kept, to resume from.")] = None,
    fed: Annotated[
        bool,
        typer.Option(
            "--fed", help="The lines of `mrse vespa lines` are fed: send what changed since they were begun."
        ),
    ] = False,
    vectors: OfVectors = None,
    json: Json = False,
) -> None:
    """Feed all items, or a file of changes. Resumes after a kill; every item ends at its newest version.

    Changes are kept beside the package, so a folder that is fed meanwhile or later undoes none that is newer:
    feed a version from one package folder. Without EMBEDDINGS they go to every version of the package, so
    that during a rollout none falls behind.

    Example: `mrse vespa feed embeddings/ --package vespa-package/ --endpoint http://localhost:8080`
    """
    from index.vespa.feed.feeder import feed as send
    from index.vespa.feed.journal import Journal, alone
    from index.vespa.feed.ledger import Ledger
    from index.vespa.feed.report import FeedStopped
    from index.vespa.feed.siblings import siblings_in
    from index.vespa.feed.source import EmbeddingsSource

    live = changes is not None or follow is not None
    if changes is not None and follow is not None:
        fail("give --changes or --follow, not both", USAGE)
    if live and (as_of is not None or part != "1/1" or fed):
        fail("--as-of, --part and --fed are for a folder, not for changes", USAGE)
    if live:
        wanted = Changes(changes, follow, redis, group, journal)
        raise typer.Exit(feed_changes(package, access.to(endpoint), embeddings, wanted, vectors, json=json))
    if embeddings is None:
        fail("name the embeddings folder to feed, or give --changes or --follow", USAGE)
    folder = open_embeddings(embeddings)
    settings = settings_for(package, folder, access.to(endpoint), vectors)
    with ExitStack() as opened:
        ledger = opened.enter_context(Ledger.of(package, settings.version.document_type))
        others = opened.enter_context(siblings_in(package, settings.version.document_type))
        number, parts = part_of(part)
        source = EmbeddingsSource(folder, ledger, (number, parts), others)
        version = source.as_of if as_of is None else version_of(as_of)
        if fed and not ledger.has_begun(version, (number, parts)):
            fail("no lines of this folder and part were begun: `mrse vespa lines` writes them")
        what, name = f"{source.fingerprint}:{version}", "feed" if parts == 1 else f"{number}-of-{parts}"
        if fed:
            what, name = f"{what}:fed", f"{name}.fed"
        kept = journal or embeddings.with_name(f"{embeddings.name}.{name}.journal")
        try:
            with alone(kept), progress() as report:
                progressed = Journal.open(kept, f"{settings.version.document_type}:{what}", version)
                if progressed.replaces is not None:
                    err.print(f"{kept} was of {progressed.replaces}, and is begun anew")
                if fed:
                    progressed.low = max(progressed.low, source.total)
                came = asyncio.run(send(settings, source, progressed, report))
                failed = [failure.item_id for failure in came.failures]
                if came.complete or not fed:
                    ledger.end(version, (number, parts), None if fed else failed)
        except FeedStopped as stopped:
            fail(f"{stopped}; run the same command again to go on from {kept}")
    if source.lacking:
        some = ", ".join(sorted(source.lacking)[:3])
        err.print(
            "items put since into other versions of this package, with vectors of their bundles: "
            f"{len(source.lacking):,} ({some}). Put them again when the service has this version, or embed "
            "anew"
        )
    tell(came, json=json)
    raise typer.Exit(0 if came.complete else NOT_IN_ORDER)


@with_access
def prune(
    embeddings: Embeddings,
    package: Package,
    endpoint: Endpoint,
    access: Access,
    most: Annotated[
        float, typer.Option(min=0, max=1, help="Refuse to remove more than this share of all items.")
    ] = 0.1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    vectors: OfVectors = None,
    json: Json = False,
) -> None:
    """Remove the items that the folder fed last does not hold any more.

    Example: `mrse vespa prune embeddings/ --package vespa-package/ --endpoint http://localhost:8080`
    """
    from index.vespa.feed.ledger import Ledger
    from index.vespa.feed.prune import prune as remove

    settings = settings_for(package, open_embeddings(embeddings), access.to(endpoint), vectors)
    with Ledger.of(package, settings.version.document_type) as ledger:
        pruned = asyncio.run(remove(settings, ledger, most=most, dry_run=dry_run))
    if json:
        print_json(asdict(pruned))
    else:
        out.print(f"{counted(pruned.left, 'item')} of {pruned.items:,} left the catalogue")
        out.print(f"removed {pruned.removed:,}, failed {pruned.failed:,}")
    raise typer.Exit(NOT_IN_ORDER if pruned.failed else 0)


def part_of(text: str) -> tuple[int, int]:
    """The number of a part, from 1, and of parts; ends the command where it is neither."""
    number, _, parts = text.partition("/")
    if not (number.isdecimal() and parts.isdecimal() and 1 <= int(number) <= int(parts)):
        fail(f"--part is given as 2/8, not {text!r}", USAGE)
    return int(number), int(parts)


def version_of(as_of: str) -> int:
    """A feed version, in microseconds since 1970; ends the command where it is none."""
    if as_of.isdecimal():
        return int(as_of)
    try:
        time = datetime.fromisoformat(as_of)
    except ValueError:
        fail(f"--as-of is a time as 2026-11-26T02:00Z, or microseconds, not {as_of!r}", USAGE)
    return int(time.replace(tzinfo=time.tzinfo or UTC).timestamp() * 1e6)
