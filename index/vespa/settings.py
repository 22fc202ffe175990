"""Settings of the Vespa client and feeder, frozen. Times are seconds; each default is *inferred*.

What the table ``[vespa]`` sets has its default there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from common.errors import MrseError
from index.vespa.table import VespaConnection
from index.vespa.version import Version


def _default(key: str) -> Any:
    """The default of a key of the table."""
    return VespaConnection.model_fields[key].default


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
    #: Whether the certificate must be of the URL's host. Those of Vespa's own mutual TLS often name none.
    check_hostname: bool = _default("check_hostname")
    #: Token for ``Authorization: Bearer``, kept out of repr, or the file that holds it.
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    #: Connections to each. More than Vespa's search threads only queue on its side.
    connections: int = _default("connections")
    #: Share of a request's time that finding and reaching a host may take, so that there is some left for
    #: another one where packets are lost. Vespa is near: it takes a millisecond.
    connect_share: float = _default("connect_share")
    #: Whether answers to queries may come gzipped: a third of the bytes, for time of the container's.
    compression: bool = _default("compression")
    #: Failures in a row after which an endpoint is left alone, and for how long; then one request tries.
    breaker_failures: int = _default("breaker_failures")
    breaker_pause: float = _default("breaker_pause_s")

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise EndpointError("mutual TLS needs certificate and key, both or neither")
        if not self.urls:
            raise EndpointError("no Vespa endpoint is given")
        if self.token is not None and self.token_file is not None:
            raise EndpointError("a token and a token_file are given: one of them is enough")
        for url in self.urls:
            parts = urlsplit(url)
            if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
                raise EndpointError(f"not the URL of an endpoint: {url!r}")
            if parts.username or parts.password:
                raise EndpointError("credentials do not belong in an endpoint's URL")
            if (self.token or self.token_file) and parts.scheme != "https":
                raise EndpointError(f"a token is not sent in the clear: {url!r} is no https URL")


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How far the graph is searched. More is a better recall at a higher price."""

    #: Candidates that each content node brings for each asked hit, and at least. They are the width of the
    #: search in the graph: with 10 for ten hits a third of the nearest items is missed, with 100 none.
    target_hits_factor: float = _default("target_hits_factor")
    target_hits_least: int = _default("target_hits_least")
    #: Candidates of all nodes together for each asked hit, in place of those of each: for clusters of very
    #: many nodes. Vespa still lets each node search as widely as for 100.
    total_target_hits_factor: float | None = _default("total_target_hits_factor")
    #: Added to the width of the search alone: more is looked at, not brought. Without it a sixth of the
    #: nearest 100 or 200 was missed, with it 2 to 3% (``benchmarks.vespa_graph``).
    explore_additional_hits: int = _default("explore_additional_hits")
    #: Share of a query's time after which the graph search ends with what it has, which is told as
    #: ``anntimeout``. What is left is for ranking; the soft time-out comes at 0.7.
    graph_share: float = _default("graph_share")


@dataclass(frozen=True, slots=True)
class ShadowSettings:
    """Live searches that are asked again without the graph."""

    #: Share of searches; 0 for none. An exact search looks at every item.
    share: float = _default("shadow_share")
    #: Pause after each.
    every: float = _default("shadow_every_s")
    #: Time that it may take.
    timeout: float = _default("shadow_timeout_s")


@dataclass(frozen=True, slots=True)
class VespaSettings:
    """One embedding version behind one or more containers."""

    endpoints: EndpointSettings
    version: Version
    search: SearchSettings = field(default_factory=SearchSettings)
    shadow: ShadowSettings = field(default_factory=ShadowSettings)


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
