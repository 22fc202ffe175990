"""What can go wrong between us and Vespa.

Callers tell errors apart by type, never by text; ``reason``, the short code in brackets, is for metrics
and answers::

    VespaError (an IndexUnavailable)
    │                      [timeout]       no budget was left to ask with
    │                      [closed]        this client was closed
    │                      [auth]          401, 403: Vespa does not accept the certificate or token
    │                      [overloaded]    429, or 503 without an error code
    │                      [backend]       503 (codes 0, 10) and any other 5xx: content nodes fail
    │                      [errors]        200 with `root.errors`, with hits beside them or not
    │                      [bad_answer]    not JSON, or JSON that is no answer
    ├── CircuitOpen        [circuit_open]  every endpoint failed lately; asked again after a pause
    ├── Unreachable        no whole answer, and no sign that Vespa worked on the request:
    │                      [dns] the host name has no address, [tls] handshake or certificate,
    │                      [connect] refused, no route, too slow, [connection] reset or closed early
    ├── TimedOut           [timeout]       our deadline, or Vespa's (504, code 12)
    ├── NoConnection       [timeout]       our deadline, while all of our connections were in use
    ├── RequestRefused     [request]       400 and other 4xx: our mistake, asking again is useless
    ├── NoCoverage         [no_coverage]   200, but no document was looked at
    └── NotDeployed        [not_deployed]  200 without coverage and hits: no such document type

    VersionMismatch        the deployed schema is not the bundle's; the service must not start

Only `Unreachable` may be tried again, once, and only while budget is left; see `endpoints.Endpoints`.
Messages are shortened and stripped of tensors: Vespa's errors echo the whole query.
"""

# ruff: noqa: N818 -- states of the world, named as what happened
from __future__ import annotations

import re

from common.errors import NOT_IN_ORDER, MrseError
from index.port import IndexUnavailable

_LONG_HEX = re.compile(r"[0-9A-Fa-f]{24,}")
_LONG_LIST = re.compile(r"\[[-+0-9.eE, ]{48,}\]?")


def shorten(text: str) -> str:
    """A message fit for a log line: without tensors, on one line, at most 240 characters."""
    text = _LONG_LIST.sub("[…]", _LONG_HEX.sub("…", text))
    return " ".join(text.split())[:240]


class VespaError(IndexUnavailable):
    """Vespa gave no answer that can be used."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, shorten(detail))


class CircuitOpen(VespaError):
    """Every endpoint failed lately; nothing was sent."""


class Unreachable(VespaError):
    """The endpoint could not be reached, or hung up before a whole answer."""

    @property
    def lasts(self) -> bool:
        """Whether the same endpoint would fail again at once: its name or its certificate is wrong."""
        return self.reason in ("dns", "tls")


class TimedOut(VespaError):
    """The deadline passed while Vespa was working, here or there."""

    def __init__(self, detail: str) -> None:
        super().__init__("timeout", detail)


class NoConnection(VespaError):
    """The deadline passed while all of our connections to the endpoint were in use."""

    def __init__(self, detail: str) -> None:
        super().__init__("timeout", detail)


class RequestRefused(VespaError):
    """The request is wrong."""


class NoCoverage(VespaError):
    """Status 200, and no document was looked at, whatever the coverage says."""


class NotDeployed(VespaError):
    """Status 200 with nothing in it: Vespa asks nobody when it does not know the document type."""


class VersionMismatch(MrseError, ValueError):
    """What is deployed was not made for this bundle."""

    exit_code = NOT_IN_ORDER
