"""The bounded sets that labels of metrics are of."""

from __future__ import annotations

from typing import Literal, get_args

from service.scope import CLIENT_DEADLINE, CLIENT_LEFT

#: What came of a live search that was asked again exactly; ``changed``: the index did so meanwhile.
RecallCheck = Literal["compared", "changed", "failed"]
RECALL_CHECKS: tuple[RecallCheck, ...] = get_args(RecallCheck)
#: The share of all items that a filter accepts: all (or no filter), a tenth or more, a hundredth, fewer.
Accepted = Literal["all", "tenth", "hundredth", "fewer"]
#: Causes of errors that are ours: the service had no answer, or not in time.
SERVER_CAUSES = ("deadline", "internal", "model-failed", "not-ready", "overloaded", "unavailable")
#: Causes of errors: the kinds of problems, and what is the client's own doing beside them.
CAUSES = frozenset(
    {
        *SERVER_CAUSES,
        CLIENT_DEADLINE,
        CLIENT_LEFT,
        "malformed-json",
        "invalid-request",
        "unsupported-media-type",
        "too-large",
        "not-found",
        "method-not-allowed",
        "unknown-item",
        "request-timeout",
        "unauthorized",
        "forbidden",
        "rate-limited",
        "not-writable",
        "not-taken",
        "insufficient-storage",
    }
)

#: Why a connection ended.
Closed = Literal[
    "client",
    "answered",
    "idle",
    "handshake",
    "head_timeout",
    "write_timeout",
    "evicted",
    "refused",
    "shutdown",
]
