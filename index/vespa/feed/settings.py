"""Settings of feeding, frozen. Times are seconds; each default is *inferred*."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """How documents are fed."""

    #: Requests under way at the start, at least and at most; the window grows while Vespa keeps up.
    window_start: int = 16
    window_min: int = 2
    window_max: int = 256
    #: Budget of one request; Vespa gets it as ``timeout``.
    request_timeout: float = 20.0
    #: First wait after a request that may be sent again; doubles, with jitter, up to the longest.
    backoff: float = 0.05
    backoff_max: float = 10.0
    #: Tries of an operation that fails on the way (connection, time-out, 502, 503, 504).
    attempts: int = 12
    #: Tries of an operation that is answered 500, which may be its own fault.
    attempts_internal: int = 3
    #: How long an operation is sent again in all while Vespa answers 429: it is there, and busy.
    patience_busy: float = 300.0
    #: First pause of all deliveries after a 507 (feed blocked: a node is out of disk or memory). Then one
    #: request tries, and the next pause is twice as long, up to the longest.
    pause_blocked: float = 10.0
    pause_blocked_max: float = 120.0
    #: The feed stops when it stayed blocked for this long in all.
    patience_blocked: float = 1800.0
    #: The feed stops when this many operations have failed for good: the rest will too.
    failures_max: int = 100
    #: Time between checkpoints.
    checkpoint_interval: float = 1.0
