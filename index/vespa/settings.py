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
class TlsSettings:
    """TLS towards Vespa; only read for ``https`` endpoints."""

    #: Certificates to trust, PEM; None for the system's.
    ca: Path | None = None
    #: Our own certificate and key, PEM, for mutual TLS; both or neither.
    certificate: Path | None = None
    key: Path | None = None
    #: Whether the certificate must carry the host's name (Vespa's own mTLS certificates often do not).
    check_hostname: bool = True

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise EndpointError("mutual TLS needs certificate and key, both or neither")


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When an endpoint is left alone."""

    #: Failures in a row that open the circuit.
    failures: int = 8
    #: How long it stays open; then one request at a time tries.
    pause: float = 1.0


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Containers or config servers, and how to reach them."""

    #: Base URLs, as ``http://host:8080``; asked in turn.
    urls: tuple[str, ...]
    tls: TlsSettings = TlsSettings()
    #: Token for ``Authorization: Bearer``; kept out of repr.
    token: str | None = field(default=None, repr=False)
    #: Connections to each. More than Vespa's search threads only queue on its side.
    connections: int = 64
    breaker: BreakerSettings = BreakerSettings()

    def __post_init__(self) -> None:
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
