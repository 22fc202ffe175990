"""Every knob of feeding, frozen. Times are seconds; each default is *inferred*."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """How documents are fed."""

    #: Requests under way at the start; from there the window grows while Vespa keeps up.
    window_start: int = 16
    window_min: int = 2
    window_max: int = 256
    #: What is left of the window after a 429 or a time-out.
    window_cut: float = 0.7
    #: A second cut only after this long: one overload answers many requests at once.
    cut_interval: float = 0.25
    #: Operations read ahead of the window, waiting for a slot or for an earlier one of their id.
    read_ahead: int = 1024
    #: Budget of one request; Vespa gets it as ``timeout``.
    request_timeout: float = 20.0
    #: First wait after a request that may be sent again; doubles, with jitter, up to the longest.
    backoff: float = 0.05
    backoff_max: float = 10.0
    #: Tries of an operation that fails on the way (connection, time-out, 502, 503, 504).
    attempts: int = 12
    #: Tries of an operation that is answered 500, which may be its own fault.
    attempts_internal: int = 3
    #: A 429 says that Vespa is there and busy: waited for this long in all, per operation.
    patience_busy: float = 300.0
    #: First pause of everything after a 507 (feed blocked: a node is out of disk or memory); then one
    #: request tries; doubles up to the longest.
    pause_blocked: float = 10.0
    pause_blocked_max: float = 120.0
    #: Feeding gives up when the feed stays blocked for this long in all.
    patience_blocked: float = 1800.0
    #: Stop when this many operations have failed for good: the rest will too.
    failures_max: int = 100
    #: Time between checkpoints.
    checkpoint_interval: float = 1.0
