"""Takes out what left the catalogue: items that are older than the folder fed last."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from common.deadline import Deadline
from index.vespa.client import VespaIndex
from index.vespa.feed.feeder import feed
from index.vespa.feed.journal import Journal
from index.vespa.feed.ledger import FeedRefused, Ledger, told
from index.vespa.feed.operations import Numbered, Operations
from index.vespa.feed.report import Outcome
from index.vespa.feed.source import IsSettled
from index.vespa.settings import FeedSettings, VespaSettings
from index.vespa.version import Version

#: Seconds for one query: it looks at the version of every item.
_TIMEOUT = 10.0
#: Seconds between looks for removals that are not seen yet, and looks.
_WAIT, _LOOKS = 0.2, 50


@dataclass(frozen=True, slots=True)
class Pruned:
    """``items`` there were, ``left`` of them had left the catalogue."""

    items: int
    left: int
    removed: int
    failed: int


async def prune(
    settings: VespaSettings,
    ledger: Ledger,
    *,
    most: float = 0.1,
    dry_run: bool = False,
    feeding: FeedSettings | None = None,
) -> Pruned:
    """Remove the items whose version is below that of the folder fed last.

    What changed since is newer than the folder, and items of it that could not be fed are spared.

    Args:
        settings: of the version.
        ledger: its ledger, which knows that folder.
        most: share of all items above which nothing is removed.
        dry_run: remove nothing.
        feeding: how removals are fed.

    Raises:
        FeedRefused: no folder is fed to its end, it is more than ``most``, or Vespa does not see all items.
        IndexUnavailable: Vespa does not answer.
    """
    if not ledger.complete:
        raise FeedRefused("no folder was fed to its end from this package, so nobody knows what left")
    as_of = ledger.as_of
    async with VespaIndex(settings) as index:
        items = await index.count(Deadline.after(_TIMEOUT))
        old, total = await index.older(as_of, Deadline.after(_TIMEOUT))
        spared = ledger.refused
        left = total - len(spared.intersection(old))
        if left > most * items:
            raise FeedRefused(
                f"{left:,} of {items:,} items are older than {told(as_of)}, more than --most {most}"
            )
        removed = failed = looks = 0
        seen: set[str] = set()
        while not dry_run and looks < _LOOKS and (wanted := sorted(set(old) - spared)):
            if fresh := [item for item in wanted if item not in seen]:
                source = _Removals(fresh, as_of, ledger)
                report = await feed(settings, source, Journal(None, "prune", as_of), feeding=feeding)
                removed += report.outcomes[Outcome.STORED]
                failed += report.outcomes[Outcome.FAILED]
                seen.update(fresh)
            else:
                looks += 1
                await asyncio.sleep(_WAIT)
            old, _ = await index.older(as_of, Deadline.after(_TIMEOUT))
    return Pruned(items, left, removed, failed)


@dataclass(frozen=True, slots=True)
class _Removals:
    """Removals of items that are older than ``as_of``, as a source."""

    ids: list[str]
    as_of: int
    ledger: Ledger
    fingerprint: str = "prune"

    @property
    def total(self) -> int:
        return len(self.ids)

    def operations(self, version: Version, feed_ver: int, settled: IsSettled) -> Iterator[Numbered]:
        operations = Operations(version)
        return ((number, operations.remove(item, feed_ver)) for number, item in enumerate(self.ids))

    def later(self, version: Version, feed_ver: int, settled: IsSettled) -> Iterator[Numbered]:
        return iter(())
