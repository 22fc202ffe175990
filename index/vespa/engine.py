"""The Vespa engine, as the registry knows it; the client is loaded when an index is opened."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from index.engine import Engine, EngineSettings, IndexOpenError, OpenedIndex

_NO_CHANGES = "set vespa.changes where the package folder is the one that Vespa is fed from"


class VespaConnection(EngineSettings):
    """The table ``[vespa]``: where Vespa is."""

    #: Base addresses of query containers, with commas between: ``http://vespa-1:8080,http://vespa-2:8080``.
    url: str | None = None
    #: Bearer token; sent over https only.
    token: SecretStr | None = None
    #: The file that holds the token, in its place; read again within seconds when it changes.
    token_file: Path | None = None
    #: PEM file of the certificates to trust, in place of the system's; read again within seconds when it
    #: changes.
    ca: Path | None = None
    #: Our own certificate for mutual TLS, PEM; read again likewise.
    certificate: Path | None = None
    #: The key of that certificate, PEM; read again likewise.
    key: Path | None = None
    #: Whether a container's certificate must be of its URL's host.
    check_hostname: bool = True
    #: Whether changes come through this service (``PUT /items``, ``/admin/index``). They are written to the
    #: ledger of the package folder, two folders above ``index.path``: set it where that is the one folder
    #: that ``mrse vespa feed`` is run with, on a local disk, so that no feed undoes them.
    changes: bool = False
    #: Connections to each container; more queries at once wait.
    connections: int = Field(default=64, ge=1)
    #: Share of a request's time after which a container that cannot be reached is given up for another.
    connect_share: float = Field(default=0.3, gt=0, le=1)
    #: Whether answers may come gzipped: a third of the bytes, for time of Vespa's to make them smaller. For
    #: networks that are slow or paid by the byte.
    compression: bool = False
    #: Failures in a row after which a container is left alone.
    breaker_failures: int = Field(default=8, ge=1)
    #: How long it is left alone; then one request tries.
    breaker_pause_s: float = Field(default=1.0, gt=0)
    #: Candidates of the graph search of each content node per asked hit.
    target_hits_factor: float = Field(default=1.0, ge=1)
    #: Such candidates at least: they are the width of the search in the graph.
    target_hits_least: int = Field(default=100, ge=1)
    #: In place of these, candidates of all nodes together per asked hit.
    total_target_hits_factor: float | None = Field(default=None, ge=1)
    #: More that the graph search looks at without bringing it.
    explore_additional_hits: int = Field(default=0, ge=0)
    #: Share of a query's time that the graph search may take; ended by it, the answer says ``anntimeout``.
    graph_share: float = Field(default=0.5, gt=0, le=1)
    #: Share of searches that are asked again without the graph while there is room, to know the recall that
    #: users get (``mrse_index_shadow_recall``). Such a search looks at every item. 0: none.
    shadow_share: float = Field(default=0.0, ge=0, le=1)
    #: Least pause between two such searches.
    shadow_every_s: float = Field(default=10.0, ge=0.1)
    #: Longest time that one may take.
    shadow_timeout_s: float = Field(default=5.0, gt=0)


class VespaEngine(Engine[VespaConnection]):
    """One version of a Vespa application. Item features come from the shared cache."""

    name = "vespa"
    settings = VespaConnection
    preload = ("index.vespa.joined", "index.vespa.version")

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
        from index.vespa.joined import JoinedVespaIndex
        from index.vespa.settings import EndpointSettings, SearchSettings, ShadowSettings, VespaSettings
        from index.vespa.version import Version, VersionError

        try:
            endpoints = EndpointSettings(
                urls=tuple(url.strip() for url in settings.url.split(",") if url.strip()),
                ca=settings.ca,
                certificate=settings.certificate,
                key=settings.key,
                check_hostname=settings.check_hostname,
                token=None if settings.token is None else settings.token.get_secret_value(),
                token_file=settings.token_file,
                connections=settings.connections,
                connect_share=settings.connect_share,
                compression=settings.compression,
                breaker_failures=settings.breaker_failures,
                breaker_pause=settings.breaker_pause_s,
            )
            search = SearchSettings(
                target_hits_factor=settings.target_hits_factor,
                target_hits_least=settings.target_hits_least,
                total_target_hits_factor=settings.total_target_hits_factor,
                explore_additional_hits=settings.explore_additional_hits,
                graph_share=settings.graph_share,
            )
            shadow = ShadowSettings(settings.shadow_share, settings.shadow_every_s, settings.shadow_timeout_s)
            version = Version.read(path)
            whole, joined = VespaSettings(endpoints, version, search, shadow), version.profiles >= 2
            if settings.changes:
                from index.vespa.feed.live import LiveJoinedVespaIndex, LiveVespaIndex

                made = LiveJoinedVespaIndex if joined else LiveVespaIndex
                live = made(whole, path.resolve().parent.parent)
                return OpenedIndex(
                    index=live,
                    values=live,
                    titles=live if version.titles else None,
                    lexical=live if version.texts else None,
                    photos=live if version.picture_dim else None,
                    ranked=live if version.popular else None,
                    check=live.check,
                    writable=live,
                    calls=live.calls,
                )
            index = JoinedVespaIndex(whole) if joined else VespaIndex(whole)
        except VersionError as error:
            raise IndexOpenError(f"index {error}") from error
        except (OSError, ValueError) as error:
            raise IndexOpenError(f"vespa: {error}") from error
        lexical = index if whole.version.texts else None
        return OpenedIndex(
            index=index,
            values=index,
            titles=index if version.titles else None,
            lexical=lexical,
            photos=index if version.picture_dim else None,
            ranked=index if version.popular else None,
            check=index.check,
            unwritable=_NO_CHANGES,
            calls=index.calls,
        )
