"""What an index tells of itself beside answers: how its files fare, and calls to its servers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

#: What happens to an index beside searches: the label of a metric.
IndexEvent = Literal[
    "rebuilt",
    "rebuild_failed",
    "verified",
    "damaged",
    "mended",
    "write_failed",
    "no_space",
    "unfinished",
    "unopened",
]


INDEX_EVENTS: tuple[IndexEvent, ...] = get_args(IndexEvent)


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """How much an index holds, and since when.

    Attributes:
        items: how many can be found.
        pending: changes since the base was written, which a rebuild will take into it.
        built_at: when the base was written here, in seconds since 1970.
    """

    items: int
    pending: int
    built_at: float


class IndexUpkeep(Protocol):
    """How the files of an index fare. For any thread."""

    @property
    def facts(self) -> IndexFacts:
        """As of the last search or change; takes microseconds."""

    @property
    def problems(self) -> Sequence[str]:
        """A sentence for each damage that is known."""

    @property
    def unopened(self) -> str | None:
        """Why what the folder holds now cannot be opened, while what is open answers; None where it can."""

    @property
    def verified_at(self) -> float:
        """When every byte was last read and found right, in seconds since 1970."""

    def listen(self, told: Callable[[IndexEvent], None]) -> None:
        """Say who is told of events, from any thread."""


#: What became of a call to a server behind an index: the label of a metric. ``refused`` is our own mistake.
CallOutcome = Literal[
    "ok",
    "timeout",
    "no_connection",
    "dns",
    "tls",
    "connect",
    "connection",
    "auth",
    "overloaded",
    "backend",
    "errors",
    "bad_answer",
    "no_coverage",
    "refused",
    "cancelled",
    "other",
]


CALL_OUTCOMES: tuple[CallOutcome, ...] = get_args(CallOutcome)


class CallWatch(Protocol):
    """Who is told of the calls to the servers behind an index, in the event loop.

    ``server`` is one of `IndexCalls.servers`.
    """

    def ended(self, server: str, outcome: CallOutcome) -> None:
        """A call ended."""

    def retried(self, server: str) -> None:
        """A call that ended at another server, or at this one, was made again here."""

    def waited(self, seconds: float) -> None:
        """A call waited for one of our own connections."""

    def circuit(self, server: str, is_open: bool) -> None:
        """A server is left alone for a while, or asked again."""

    def shadowed(self, recall: float | None) -> None:
        """A live search was asked again exactly: the recall at its k; None where that has no whole answer."""


class IndexCalls(Protocol):
    """The servers behind an index."""

    @property
    def servers(self) -> Sequence[str]:
        """Host and port of each, as the configuration names them."""

    def listen(self, watch: CallWatch) -> None:
        """Say who is told of calls."""
