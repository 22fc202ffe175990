"""What came of a feed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from common.errors import NOT_IN_ORDER, MrseError

MAX_FAILURES_KEPT: Final = 100


class Outcome(StrEnum):
    """How an operation ended."""

    STORED = "stored"
    #: 412: what is stored is as new or newer, or the item is not there yet; the ledger keeps the change, and
    #: the feed of a folder applies it. No error.
    SUPERSEDED = "superseded"
    #: Not sent: the folder fed last is as new.
    OLDER = "older"
    #: Vespa refused it, dropped fields, or could not be reached in all the tries.
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Failure:
    """One operation that failed for good."""

    number: int
    item_id: str
    reason: str


@dataclass
class FeedReport:
    """Counts of one feed."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    #: Operations that an earlier run settled.
    skipped: int = 0
    #: Requests sent again, by the reason why.
    retries: Counter[str] = field(default_factory=Counter)
    #: Why the last operation failed that Vespa could not be brought to answer; empty where none did.
    undelivered: str = ""
    #: The first failures, at most `MAX_FAILURES_KEPT`.
    failures: list[Failure] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Operations that ended, one way or another."""
        return sum(self.outcomes.values()) + self.skipped

    @property
    def complete(self) -> bool:
        """Whether nothing failed."""
        return not self.outcomes[Outcome.FAILED]


class FeedStopped(MrseError):  # noqa: N818 -- a decision, not a mistake
    """The feed gave up, since no operation would get through; the journal says where to go on."""

    exit_code = NOT_IN_ORDER
