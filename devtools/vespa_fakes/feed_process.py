"""Feeds in a process of its own, so that it can be killed: URL, embeddings folder, changes file, journals."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from index.vespa.feed.feeder import Feeder
from index.vespa.feed.journal import Journal
from index.vespa.feed.settings import FeedSettings
from index.vespa.feed.source import ChangesSource, EmbeddingsSource
from index.vespa.settings import BreakerSettings, VespaSettings

#: Impatient enough for a test that plants faults, patient enough to outlast them.
FEED = FeedSettings(
    request_timeout=1.0,
    backoff=0.005,
    backoff_max=0.2,
    pause_blocked=0.05,
    pause_blocked_max=0.2,
    checkpoint_interval=0.05,
    attempts=30,
    attempts_internal=30,
    failures_max=1,
)


def settings_for(url: str, source: EmbeddingsSource) -> VespaSettings:
    return VespaSettings(
        endpoints=(url,),
        bundle_version=source.bundle_version,
        attributes=source.attributes,
        dimension=source.dimension,
        breaker=BreakerSettings(failures=50, pause=0.05),
    )


async def feed_all(url: str, embeddings: Path, changes: Path, journals: Path) -> None:
    """The folder, then the changes; each goes on where its journal says."""
    source = EmbeddingsSource.open(embeddings)
    where = settings_for(url, source)
    async with Feeder(where, FEED) as feeder:
        journal = Journal.open(journals / "items.json", source.fingerprint, feed_ver=10)
        if not (journals / "items.done").exists():
            await feeder.feed(source.operations(where, journal.feed_ver, journal.settled), journal)
            (journals / "items.done").touch()
        later = ChangesSource(changes)
        journal = Journal.open(journals / "changes.json", later.fingerprint, feed_ver=10)
        await feeder.feed(later.operations(where, journal.feed_ver, journal.settled), journal)
        (journals / "changes.done").touch()


if __name__ == "__main__":
    asyncio.run(feed_all(sys.argv[1], *map(Path, sys.argv[2:5])))
