# ruff: noqa: N818 -- states of the world, named as what happened
"""What can go wrong between us and Vespa; told apart by type, never by text.

::

    VespaError (is an IndexUnavailable; `reason` is the short code in brackets)
    ├── NotSent                    nothing left this process
    │   ├── DeadlinePassed         [timeout]       no budget was left to ask with
    │   ├── Closed                 [closed]        this client was closed
    │   └── CircuitOpen            [circuit_open]  every endpoint failed lately; asked again after a pause
    ├── Unreachable                no answer, and no sign that Vespa worked on the request
    │   ├── NameNotResolved        [dns]
    │   ├── TlsFailed              [tls]           handshake or certificate
    │   ├── ConnectFailed          [connect]       refused, no route, too slow to connect
    │   └── ConnectionLost         [connection]    reset or closed before a whole answer
    ├── TimedOut                   [timeout]       our deadline, or Vespa's (504, code 12)
    ├── BadAnswer                  [bad_answer]    not JSON, or JSON that is no answer
    └── Refused                    Vespa answered, and said no (`status`, `codes`)
        ├── RequestRefused         [request]       400 and other 4xx: our mistake, asking again is useless
        ├── NotAuthorised          [auth]          401, 403
        ├── Overloaded             [overloaded]    429, 503 with no error code
        ├── BackendDown            [backend]       503 (codes 0, 10) and any other 5xx
        ├── AnswerWithErrors       [errors]        200 with `root.errors`, with hits beside them or not
        ├── NoCoverage             [no_coverage]   200, but no document was looked at
        └── NotDeployed            [not_deployed]  200 without coverage and hits: no such document type

    VersionMismatch (ValueError)   the deployed schema is not the bundle's; the service must not start
    RuleBroken (ValueError)        a request or document that Vespa would take and misread; never sent

Only `Unreachable` may be tried again, once, and only when budget is left; see `endpoints.Endpoints`.
Messages are shortened and stripped of tensors: Vespa's errors echo the whole query.
"""

from __future__ import annotations

import re
from typing import ClassVar

from index.port import IndexUnavailable

_LONG_HEX = re.compile(r"[0-9A-Fa-f]{24,}")
_LONG_LIST = re.compile(r"\[[-+0-9.eE, ]{48,}\]?")
_MAX_DETAIL = 240


def shorten(text: str) -> str:
    """A message fit for a log line: without tensors, on one line, at most 240 characters."""
    text = _LONG_LIST.sub("[…]", _LONG_HEX.sub("…", text))
    return " ".join(text.split())[:_MAX_DETAIL]


class VespaError(IndexUnavailable):
    """Vespa gave no answer that can be used."""

    code: ClassVar[str] = "vespa"

    def __init__(self, detail: str = "") -> None:
        super().__init__(self.code, shorten(detail))


class NotSent(VespaError):
    """Nothing was sent."""


class DeadlinePassed(NotSent):
    """No budget was left."""

    code = "timeout"


class Closed(NotSent):
    """This client was closed."""

    code = "closed"


class CircuitOpen(NotSent):
    """Every endpoint failed lately."""

    code = "circuit_open"


class Unreachable(VespaError):
    """The endpoint could not be reached, or hung up before a whole answer."""

    code = "unreachable"


class NameNotResolved(Unreachable):
    """The endpoint's host name has no address."""

    code = "dns"


class TlsFailed(Unreachable):
    """The TLS handshake failed, or a certificate is not trusted."""

    code = "tls"


class ConnectFailed(Unreachable):
    """No connection: refused, no route, or too slow."""

    code = "connect"


class ConnectionLost(Unreachable):
    """The connection was reset or closed before a whole answer."""

    code = "connection"


class TimedOut(VespaError):
    """The deadline passed while Vespa was working, here or there."""

    code = "timeout"


class BadAnswer(VespaError):
    """Something answered, but not as Vespa does."""

    code = "bad_answer"


class Refused(VespaError):
    """Vespa answered, and said no: HTTP ``status`` and the ``codes`` of ``root.errors``."""

    code = "refused"

    def __init__(self, status: int, codes: tuple[int, ...] = (), detail: str = "") -> None:
        numbers = f"status {status}" + (f", code {', '.join(map(str, codes))}" if codes else "")
        super().__init__(f"{numbers}: {detail}" if detail else numbers)
        self.status = status
        self.codes = codes


class RequestRefused(Refused):
    """The request is wrong."""

    code = "request"


class NotAuthorised(Refused):
    """Certificate or token are not accepted."""

    code = "auth"


class Overloaded(Refused):
    """Too much at once."""

    code = "overloaded"


class BackendDown(Refused):
    """Content nodes are down or failing."""

    code = "backend"


class AnswerWithErrors(Refused):
    """Status 200 with errors in it."""

    code = "errors"


class NoCoverage(Refused):
    """Status 200, and no document was looked at, whatever the coverage says."""

    code = "no_coverage"


class NotDeployed(Refused):
    """Status 200 with nothing in it: Vespa asks nobody when it does not know the document type."""

    code = "not_deployed"


class VersionMismatch(ValueError):
    """What is deployed was not made for this bundle."""


class RuleBroken(ValueError):
    """A request or document that Vespa would accept and misread."""
