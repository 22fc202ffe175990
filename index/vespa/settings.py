"""Settings of the Vespa client and feeder, frozen. Times are seconds; each default is *inferred*."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from common.errors import MrseError
from index.vespa.version import Version


class EndpointError(MrseError, ValueError):
    """Addresses, certificates or a token that cannot be used, or not together."""


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Containers or config servers, and how to reach them."""

    #: Base URLs, as ``http://host:8080``; asked in turn.
    urls: tuple[str, ...]
    #: For ``https``: certificates to trust, PEM; None for the system's.
    ca: Path | None = None
    #: Our own certificate and key, PEM, for mutual TLS; both or neither.
    certificate: Path | None = None
    key: Path | None = None
    #: Token for ``Authorization: Bearer``; kept out of repr.
    token: str | None = field(default=None, repr=False)
    #: Connections to each. More than Vespa's search threads only queue on its side.
    connections: int = 64
    #: Failures in a row after which an endpoint is left alone, and for how long; then one request tries.
    breaker_failures: int = 8
    breaker_pause: float = 1.0

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise EndpointError("mutual TLS needs certificate and key, both or neither")
        if not self.urls:
            raise EndpointError("no Vespa endpoint is given")
        for url in self.urls:
            parts = urlsplit(url)
            if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
                raise EndpointError(f"not the URL of an endpoint: {url!r}")
            if parts.username or parts.password:
                raise EndpointError("credentials do not belong in an endpoint's URL")
            if self.token is not None and parts.scheme != "https":
                raise EndpointError(f"a token is not sent in the clear: {url!r} is no https URL")


@dataclass(frozen=True, slots=True)
class VespaSettings:
    """One embedding version behind one or more containers."""

    endpoints: EndpointSettings
    version: Version
    #: Candidates of the graph search per asked hit. Above 1 a better recall at a higher price.
    target_hits_factor: float = 1.0


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
