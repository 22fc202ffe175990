"""Changes as they come, to every version of a rollout, until there are no more.

A batch of lines is written to the ledger of each version, then sent to all, and only then done with: whoever
gives the lines gives those again that were not done with when a feed was killed. A source that cannot (a
pipe) loses none either: what a ledger holds and was not sent is sent first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from index.vespa.feed.changes import read_change
from index.vespa.feed.feeder import feed
from index.vespa.feed.journal import Journal
from index.vespa.feed.ledger import Ledger
from index.vespa.feed.merged import Change, Merged
from index.vespa.feed.operations import Numbered, Older, Operation, Operations, Rejected
from index.vespa.feed.report import MAX_FAILURES_KEPT, FeedReport, FeedStopped
from index.vespa.feed.source import IsSettled
from index.vespa.settings import FeedSettings, VespaSettings
from index.vespa.version import Version

#: Items of a ledger that are sent at once.
_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Line:
    """One change: how a message names it, its JSON, and its version where it says none."""

    name: str
    text: bytes
    feed_ver: int


class Lines(Protocol):
    """Gives changes in batches."""

    async def next(self) -> Sequence[Line] | None:
        """The next batch, empty where nothing came for a while; None at the end."""

    async def done(self) -> None:
        """The last batch is stored: it need not be given again."""


@dataclass(slots=True)
class Target:
    """A version that gets every change."""

    settings: VespaSettings
    ledger: Ledger
    report: FeedReport = field(default_factory=FeedReport)


async def follow(
    targets: Sequence[Target], lines: Lines, stop: asyncio.Event, feeding: FeedSettings | None = None
) -> None:
    """Feed all versions until the lines end or ``stop`` is set; the counts are in the targets' reports.

    A line that cannot be used is counted as failed, and is done with. One process at a time may follow (see
    `journal.alone`): what another has written down and not sent yet would be sent twice, which does no harm,
    but be taken for sent.

    Raises:
        FeedStopped: a change could not be delivered. It is in the ledger, and its line is not done with.
    """
    await asyncio.gather(*(_send_unsent(target, feeding) for target in targets))
    while not stop.is_set() and (batch := await lines.next()) is not None:
        if not batch:
            continue
        await asyncio.gather(*(_feed(target, batch, len(targets) == 1, feeding) for target in targets))
        await lines.done()


async def _send_unsent(target: Target, feeding: FeedSettings | None) -> None:
    ledger, operations = target.ledger, Operations(target.settings.version)
    sequence, states = ledger.unsent()
    for start in range(0, len(states), _BATCH):
        batch = states[start : start + _BATCH]
        await _deliver(
            target, [state.operation(operations, item, known=sequence) for item, state in batch], feeding
        )
    ledger.sent(sequence)


async def _feed(target: Target, batch: Sequence[Line], alone: bool, feeding: FeedSettings | None) -> None:
    version, ledger = target.settings.version, target.ledger
    operations = Operations(version)
    read = [read_change(operations, line.name, line.text, line.feed_ver, version, alone) for line in batch]
    states = iter(ledger.record([each for each in read if isinstance(each, Change)]))
    sequence = ledger.recorded
    made = [
        each if isinstance(each, Rejected) else _operation(operations, each, next(states), sequence)
        for each in read
    ]
    await _deliver(target, made, feeding)
    ledger.sent(sequence)


def _operation(operations: Operations, change: Change, state: Merged | None, known: int) -> Operation | Older:
    if state is None:
        return Older(change.item_id)
    return state.operation(operations, change.item_id, whole=change.kind == "put", known=known)


async def _deliver(
    target: Target, made: Sequence[Operation | Older | Rejected], feeding: FeedSettings | None
) -> None:
    # Lines that cannot be used are told and hold up nothing, however many they are.
    settings = replace(FeedSettings() if feeding is None else feeding, failures_max=len(made) + 1)
    report = await feed(
        target.settings, _Listed(made, target.ledger), Journal(None, "changes", 1), feeding=settings
    )
    whole = target.report
    whole.outcomes += report.outcomes
    whole.retries += report.retries
    whole.failures += report.failures[: max(0, MAX_FAILURES_KEPT - len(whole.failures))]
    if report.undelivered:
        raise FeedStopped(f"{target.settings.version.document_type}: {report.undelivered}")


@dataclass(frozen=True, slots=True)
class _Listed:
    """Operations at hand, as a source."""

    made: Sequence[Operation | Older | Rejected]
    ledger: Ledger
    fingerprint: str = "changes"

    @property
    def total(self) -> int:
        return len(self.made)

    def operations(self, version: Version, feed_ver: int, settled: IsSettled) -> Iterator[Numbered]:
        return iter(enumerate(self.made))

    def later(self, version: Version, feed_ver: int, settled: IsSettled) -> Iterator[Numbered]:
        return iter(())
