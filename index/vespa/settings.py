"""Every knob of the Vespa client, frozen. Times are seconds; each default is *inferred* unless it says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from index.port import AttributeKind
from index.vespa import names


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
            raise ValueError("mutual TLS needs certificate and key, both or neither")


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """Sockets."""

    #: Connections per endpoint. More than Vespa's search threads only queue on its side.
    limit: int = 64


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When an endpoint is left alone."""

    #: Failures in a row that open the circuit.
    failures: int = 8
    #: How long it stays open; then one request at a time tries.
    pause: float = 1.0


@dataclass(frozen=True, slots=True)
class QuerySettings:
    """How a request is asked."""

    #: Candidates of the graph search per asked hit. Above 1 a better recall at a higher price.
    target_hits_factor: float = 1.0


@dataclass(frozen=True, slots=True)
class VespaSettings:
    """One embedding version behind one or more containers."""

    #: Base URLs of query containers, as ``http://host:8080``; asked in turn.
    endpoints: tuple[str, ...]
    #: The bundle whose vectors are searched.
    bundle_version: str
    #: Filterable attributes of this version; ``category`` is always there, a list.
    attributes: Mapping[str, AttributeKind] = field(default_factory=lambda: MappingProxyType({}))
    #: Width of the embeddings.
    dimension: int = 128
    #: Base URLs of feed containers; the query containers where none are given.
    feed_endpoints: tuple[str, ...] = ()
    #: Base URLs of config servers, for deploying.
    config_servers: tuple[str, ...] = ()
    tls: TlsSettings = TlsSettings()
    #: Token for ``Authorization: Bearer``; kept out of repr.
    token: str | None = field(default=None, repr=False)
    connection: ConnectionSettings = ConnectionSettings()
    breaker: BreakerSettings = BreakerSettings()
    query: QuerySettings = QuerySettings()

    def __post_init__(self) -> None:
        if not self.endpoints:
            raise ValueError("no Vespa endpoint is given")
        for url in (*self.endpoints, *self.feed_endpoints, *self.config_servers):
            parts = urlsplit(url)
            if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
                raise ValueError(f"not the URL of an endpoint: {url!r}")
            if parts.username or parts.password:
                raise ValueError("credentials do not belong in an endpoint's URL")
            if self.token is not None and parts.scheme != "https":
                raise ValueError(f"a token is not sent in the clear: {url!r} is no https URL")
        attributes: dict[str, AttributeKind] = {**self.attributes, "category": "list"}
        object.__setattr__(self, "attributes", MappingProxyType(attributes))

    @property
    def document_type(self) -> str:
        """The document type that is searched and fed."""
        return names.document_type(self.bundle_version)
