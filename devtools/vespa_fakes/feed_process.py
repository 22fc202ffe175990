"""Feeds in a process of its own, so that it can be killed: URL, embeddings folder, changes file, journals."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from artifacts.embeddings import EmbeddingsFolder
from index.vespa.feed.changes import ChangesSource
from index.vespa.feed.feeder import feed
from index.vespa.feed.journal import Journal
from index.vespa.feed.source import EmbeddingsSource
from index.vespa.settings import EndpointSettings, FeedSettings, VespaSettings
from index.vespa.version import Version

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


def settings_for(url: str, folder: EmbeddingsFolder) -> VespaSettings:
    """A client of the version that a folder belongs to."""
    endpoints = EndpointSettings((url,), breaker_failures=50, breaker_pause=0.05)
    return VespaSettings(endpoints, Version.from_embeddings(folder))


async def feed_all(url: str, embeddings: Path, changes: Path, journals: Path) -> None:
    """The folder, then the changes; each goes on where its journal says."""
    folder = EmbeddingsFolder.open(embeddings)
    source, later = EmbeddingsSource(folder), ChangesSource(changes)
    settings = settings_for(url, folder)
    journal = Journal.open(journals / "items.json", source.fingerprint, feed_ver=10)
    if not (journals / "items.done").exists():
        await feed(settings, source, journal, feeding=FEED)
        (journals / "items.done").touch()
    journal = Journal.open(journals / "changes.json", later.fingerprint, feed_ver=10)
    await feed(settings, later, journal, feeding=FEED)
    (journals / "changes.done").touch()


if __name__ == "__main__":
    asyncio.run(feed_all(sys.argv[1], *map(Path, sys.argv[2:5])))
