"""Operations that a test lists, as a source to feed from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from index.vespa.feed.ledger import Ledger
from index.vespa.feed.operations import Numbered, Operation, Rejected
from index.vespa.feed.source import IsSettled
from index.vespa.version import Version


class ListedSource:
    """Numbered as they stand in the list, made already."""

    fingerprint = "test"

    def __init__(self, operations: Sequence[Operation | Rejected]) -> None:
        self._operations = operations
        self.ledger = Ledger()
        self.total = len(operations)

    def operations(self, version: Version, feed_ver: int, settled: IsSettled) -> Iterator[Numbered]:
        """See `FeedSource.operations`."""
        return (each for each in enumerate(self._operations) if not settled(each[0]))

    def later(self, version: Version, feed_ver: int, settled: IsSettled) -> Iterator[Numbered]:
        """See `FeedSource.later`: nothing."""
        return iter(())
