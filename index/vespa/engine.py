"""The Vespa engine, as the registry knows it; the client is loaded when an index is opened."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from index.port import Engine, EngineSettings, IndexOpenError, OpenedIndex


class VespaConnection(EngineSettings):
    """The table ``[vespa]``: where Vespa is."""

    #: Base addresses of query containers, with commas between: ``http://vespa-1:8080,http://vespa-2:8080``.
    url: str | None = None
    #: Bearer token; sent over https only.
    token: SecretStr | None = None
    #: Certificates to trust, and our own certificate and key for mutual TLS; PEM.
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    #: Connections to each container.
    connections: int = Field(default=64, ge=1)
    #: Candidates of the graph search per asked hit.
    target_hits_factor: float = Field(default=1.0, ge=1)


class VespaEngine(Engine[VespaConnection]):
    """One version of a Vespa application. Item features come from the shared cache, changes by feeding."""

    name = "vespa"
    settings = VespaConnection
    preload = ("index.vespa.client", "index.vespa.version")

    def open(self, path: Path, settings: VespaConnection, *, queue: int) -> OpenedIndex:
        """The client of one version; nothing is sent yet, `OpenedIndex.check` does that.

        ``path`` is what ``mrse vespa add-version`` wrote beside the package, ``versions/<type>.json``;
        ``queue`` is of no use here, Vespa has its own.

        Raises:
            IndexOpenError: no address, no such file, or settings that do not go together.
        """
        if settings.url is None:
            raise IndexOpenError(
                "no Vespa: set MRSE_VESPA_URL, or url under [vespa] in the configuration file"
            )
        from index.vespa.client import VespaIndex
        from index.vespa.settings import EndpointSettings, VespaSettings
        from index.vespa.version import Version, VersionError

        try:
            endpoints = EndpointSettings(
                urls=tuple(url.strip() for url in settings.url.split(",") if url.strip()),
                ca=settings.ca,
                certificate=settings.certificate,
                key=settings.key,
                token=None if settings.token is None else settings.token.get_secret_value(),
                connections=settings.connections,
            )
            index = VespaIndex(VespaSettings(endpoints, Version.read(path), settings.target_hits_factor))
        except VersionError as error:
            raise IndexOpenError(f"index {error}") from error
        except (OSError, ValueError) as error:
            raise IndexOpenError(f"vespa: {error}") from error
        return OpenedIndex(index=index, check=index.check)
