"""The table ``[vespa]``, whose defaults are those of the client too. It is light: every command reads it."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from index.engine import EngineSettings


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
    #: Whether answers to queries may come gzipped: a third of the bytes. It takes the container 1.4 ms of
    #: CPU a recall, and 0.1 ms here; they come back in time on a network of 300 Mbit/s or less, and in money
    #: where traffic between zones is paid. false for a fast network that nobody counts.
    compression: bool = True
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
    #: More that the graph search looks at without bringing it, and three for each hit above 100, up to 1000.
    #: 0: none.
    explore_additional_hits: int = Field(default=300, ge=0)
    #: Share of a query's time that the graph search may take; ended by it, the answer says ``anntimeout``.
    graph_share: float = Field(default=0.5, gt=0, le=1)
    #: Share of searches that are asked again without the graph while there is room, to know the recall that
    #: users get (``mrse_index_shadow_recall_ratio``). Such a search looks at every item. 0: none.
    shadow_share: float = Field(default=0.0, ge=0, le=1)
    #: Least pause between two such searches.
    shadow_every_s: float = Field(default=10.0, ge=0.1)
    #: Longest time that one may take.
    shadow_timeout_s: float = Field(default=5.0, gt=0)
