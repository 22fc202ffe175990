"""Changes for ``mrse vespa feed``, of a file, standard input or a Redis Stream: to one version or to all."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.console import err, fail, out, print_json, progress
from cli.vespa_options import Vectors, open_embeddings, version_for
from common.errors import NOT_IN_ORDER, USAGE

if TYPE_CHECKING:
    from index.vespa.feed.ledger import Ledger
    from index.vespa.feed.report import FeedReport
    from index.vespa.settings import EndpointSettings, VespaSettings


@dataclass(frozen=True, slots=True)
class Changes:
    """Where changes come from, and where the progress of a file of them is kept."""

    file: Path | None
    stream: str | None
    redis: str | None
    group: str
    journal: Path | None


def feed_changes(
    package: Path,
    containers: EndpointSettings,
    embeddings: Path | None,
    changes: Changes,
    vectors: Vectors | None,
    *,
    json: bool,
) -> int:
    """Feed changes to the version of an embeddings folder, or to every version of the package.

    Returns:
        the command's exit status.
    """
    from index.vespa.feed.ledger import Ledger
    from index.vespa.feed.report import FeedStopped
    from index.vespa.settings import VespaSettings
    from index.vespa.version import read_versions

    if embeddings is not None:
        versions = [version_for(package, open_embeddings(embeddings), vectors)]
    elif not (versions := read_versions(package)):
        fail(f"{package} holds no version; `mrse vespa add-version` adds one")
    with ExitStack() as open_ledgers:
        targets: dict[str, tuple[VespaSettings, Ledger]] = {}
        for version in versions:
            ledger = open_ledgers.enter_context(Ledger.of(package, version.document_type))
            targets[version.document_type] = VespaSettings(containers, version), ledger
        try:
            if changes.file is not None and str(changes.file) != "-":
                reports = _file(package, embeddings, changes.file, changes.journal, targets)
            else:
                reports = _live(package, changes, targets)
        except FeedStopped as stopped:
            fail(f"{stopped}; run the same command again: what was written down is sent first")
    if json and len(reports) > 1:
        print_json({name: told(report) for name, report in reports.items()})
    else:
        for name, report in reports.items():
            if len(reports) > 1:
                out.print(f"{name}:")
            tell(report, json=json)
    return 0 if all(report.complete for report in reports.values()) else NOT_IN_ORDER


def told(fed: FeedReport) -> dict[str, object]:
    """The counts of a feed, for machines."""
    counts = {str(outcome): count for outcome, count in fed.outcomes.items()}
    failures = [asdict(failure) for failure in fed.failures]
    return {**counts, "skipped": fed.skipped, "retries": fed.retries, "failures": failures}


def tell(fed: FeedReport, *, json: bool) -> None:
    """Print the counts of a feed, and what failed."""
    if json:
        print_json(told(fed))
        return
    counts = ", ".join(f"{name} {count:,}" for name, count in fed.outcomes.items())
    out.print(counts or "nothing to feed")
    for failure in fed.failures:
        err.print(f"{failure.item_id}: {failure.reason}")


def _file(
    package: Path,
    embeddings: Path | None,
    file: Path,
    journal: Path | None,
    targets: dict[str, tuple[VespaSettings, Ledger]],
) -> dict[str, FeedReport]:
    """A file, to one version after the other; each has a journal."""
    from index.vespa.feed.changes import ChangesSource
    from index.vespa.feed.feeder import feed
    from index.vespa.feed.journal import Journal, alone
    from index.vespa.feed.source import new_feed_version

    version, reports = new_feed_version(), {}
    for name, (settings, ledger) in targets.items():
        source = ChangesSource(file, ledger, len(targets) == 1)
        beside = package / f"{file.stem}.{name}" if embeddings is None else embeddings
        kept = journal if journal and len(targets) == 1 else beside.with_name(f"{beside.name}.journal")
        if embeddings is not None and journal is None:
            kept = embeddings.with_name(f"{embeddings.name}.{file.stem}.journal")
        with alone(kept), progress() as report:
            progressed = Journal.open(kept, f"{name}:{source.fingerprint}", version)
            if progressed.replaces is not None:
                err.print(f"{kept} was of {progressed.replaces}, and is begun anew")
            reports[name] = asyncio.run(feed(settings, source, progressed, report))
    return reports


def _live(
    package: Path, changes: Changes, targets: dict[str, tuple[VespaSettings, Ledger]]
) -> dict[str, FeedReport]:
    """A pipe or a stream, to all versions side by side, until it ends or the process is told to stop."""
    from redis.asyncio import Redis

    from index.vespa.feed.follow import Target, follow
    from index.vespa.feed.journal import alone
    from index.vespa.feed.ledger import FOLDER
    from index.vespa.feed.lines import PipedLines, StreamLines

    if changes.stream is not None and changes.redis is None:
        fail("--follow needs --redis or MRSE_REDIS_URL", USAGE)
    followed = {name: Target(settings, ledger) for name, (settings, ledger) in targets.items()}
    stop = asyncio.Event()

    async def pipe() -> None:
        await follow(list(followed.values()), PipedLines(sys.stdin.buffer), stop)

    async def stream(name: str, redis: str) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with Redis.from_url(redis) as client:
            await follow(list(followed.values()), StreamLines(client, name, changes.group), stop)

    what = "standard input" if changes.stream is None else changes.stream
    err.print(f"feeding changes of {what} to {', '.join(followed)}")
    with alone(package / FOLDER / "changes"):
        if changes.stream is not None and changes.redis is not None:
            asyncio.run(stream(changes.stream, changes.redis))
        else:
            # A read of a pipe waits in a thread, which no signal would end otherwise.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            asyncio.run(pipe())
    return {name: target.report for name, target in followed.items()}
