"""The groups of how the service is reached: where it listens, who may what, and what connections may take."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from service.settings.groups import Group


class Server(Group):
    """Where the service listens and how it logs."""

    #: Address that is listened on; ``0.0.0.0`` for all. The port of the probes is at the same one.
    host: str = "127.0.0.1"
    #: 0: any that is free, which the log tells.
    port: int = Field(default=8080, ge=0, le=65_535)
    #: Another port, for ``/livez``, ``/readyz`` and ``/metrics`` alone, on a thread of its own: it answers
    #: however busy the service is. 0: none. Give it to an orchestrator and to Prometheus, not to strangers.
    probe_port: int = Field(default=0, ge=0, le=65_535)
    #: Another port, for calls that change something (those for which a key needs the scope ``write``) and
    #: ``/metrics``, which are then not answered at ``port``; what others ask is not answered there, but for
    #: what needs no key, such as ``/livez``, ``/readyz``, ``/version`` and ``/docs``. It is at the same
    #: address and speaks TLS where ``port`` does. 0: none, all calls share ``port``. With it a network can
    #: let strangers reach ``port`` alone.
    admin_port: int = Field(default=0, ge=0, le=65_535)
    #: Processes that answer, one a core at most. They share the memory of index and libraries.
    workers: int = Field(default=1, ge=1, le=256)
    #: Connections that may wait to be accepted; the system may allow fewer.
    backlog: int = Field(default=2048, ge=1)
    #: How long a connection without a request stays open.
    keep_alive_s: int = Field(default=75, ge=1)
    #: Answers of so many bytes or more are compressed (zstd, gzip) for clients that read it. Below, that
    #: takes longer than sending them within a data centre; where answers travel far, 4096 is a good value.
    compress_from: int = Field(default=65_536, ge=1024)
    #: Seconds after SIGTERM in which the service is not ready and still answers, so that a balancer that asks
    #: /readyz sends its requests elsewhere before the port closes. 0 where none asks; the image sets 5.
    lame_duck_s: float = Field(default=0.0, ge=0, le=600)
    #: How long running requests may finish after that.
    drain_s: int = Field(default=15, ge=0)
    #: Whether the configuration file is looked at every second, and read again when it changed, as after
    #: SIGHUP: for who cannot send a signal, as where the file lies on a volume of several services. What was
    #: refused is then tried again by itself, after half a minute, doubled up to ten minutes.
    watch_config: bool = False
    #: Where several workers make the folder that they count in; without it /dev/shm, or where that is missing
    #: the folder for temporary files.
    metrics_folder: Path | None = None
    #: The least level of the lines that are logged; queries and users are in none above debug.
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    #: Whether each request is a line of the log.
    access_log: bool = True
    #: Share of the requests that are lines, for who cannot keep thousands a second. Whatever it is, lines are
    #: those that another problem than ``overloaded`` answered, in which a route gave less than it should
    #: have, that change something, and that took ``access_log_slow_ms`` or more. Metrics count all.
    access_log_share: float = Field(default=1.0, ge=0, le=1)
    #: From so many milliseconds on a request is a line whatever the share.
    access_log_slow_ms: float = Field(default=250.0, ge=0)
    #: Names, without port, that requests may have in ``Host``; ``*.`` in front allows all below. Without any,
    #: a service that listens on the loopback address alone answers to that address's names alone, so that no
    #: page of a stranger can ask it (DNS rebinding), and any other answers to any name.
    hosts: tuple[str, ...] = ()
    #: Least seconds between two live searches that are asked once more exactly, when nothing else waits, so
    #: that the recall of the index is known (``mrse_index_recall_ratio``). That looks at every item, or every
    #: one that the filter accepts, on a thread of least priority. 0: none. *Inferred*.
    recall_check_every_s: float = Field(default=10.0, ge=0)
    #: Seconds between two queries that the service asks itself, so that readiness follows the model and the
    #: index: at half a second, one that fails is known within a second. 0: none.
    canary_every_s: float = Field(default=0.5, ge=0)
    #: One key for everything, for who keeps no file of keys (``access.keys``). Without either there is no
    #: admin API.
    admin_token: SecretStr | None = Field(default=None, min_length=1)
    #: A file that holds it; read again when it changes.
    admin_token_file: Path | None = None
    #: PEM file of the certificate, with its chain: the port speaks TLS then. It is read at the start; workers
    #: that SIGHUP replaces read it again.
    tls_certificate: Path | None = None
    #: PEM file of the certificate's key, without a passphrase; read with it.
    tls_key: Path | None = None
    #: PEM file of those whose certificates clients must show; without it clients show none.
    tls_client_ca: Path | None = None

    @model_validator(mode="after")
    def _one_token(self) -> Server:
        if self.admin_token is not None and self.admin_token_file is not None:
            raise ValueError("admin_token and admin_token_file are both given: one of them")
        return self

    @model_validator(mode="after")
    def _different_ports(self) -> Server:
        ports = [each for each in (self.port, self.probe_port, self.admin_port) if each]
        if self.admin_port and len(set(ports)) < len(ports):
            raise ValueError("port, probe_port and admin_port are different ports")
        return self

    @model_validator(mode="after")
    def _tls(self) -> Server:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("tls_client_ca without tls_certificate")
        return self

    def url(self, port: int) -> str:
        """Where it listens, at the port that it got."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls_certificate else 'http'}://{host}:{port}"


#: What a key is good for: asking, changing the index and forgetting users, telling what users did,
#: ``/metrics``, and choosing any arm of an experiment by ``X-Experiment``.
Scope = Literal["read", "write", "events", "metrics", "experiments"]


class Access(Group):
    """Who may what."""

    #: The file of keys, to which ``mrse keys new`` gives lines; read again when it changes.
    keys: Path | None = None
    #: What callers without a key may. Left out: read and metrics, and with ``keys`` metrics alone.
    anonymous: tuple[Scope, ...] | None = None

    #: A file to which a line is appended for each change: who, what, when, and how it ended.
    audit: Path | None = None
    #: Whether changes are refused with 503 while their lines cannot be written.
    audit_required: bool = True

    @field_validator("anonymous")
    @classmethod
    def _no_anonymous_changes(cls, scopes: tuple[Scope, ...] | None) -> tuple[Scope, ...] | None:
        if scopes is not None and {"write", "events"} & set(scopes):
            raise ValueError("changes and events need a key")
        return scopes

    @property
    def without_key(self) -> tuple[Scope, ...]:
        """What callers without a key may."""
        if self.anonymous is not None:
            return self.anonymous
        return ("metrics",) if self.keys is not None else ("read", "metrics")


class ConnectionSettings(Group):
    """What a client's connection may take.

    How long it may wait for a request is ``server.keep_alive_s``, how long a body may take
    ``limits.body_timeout_s``.
    """

    #: Connections that each worker keeps open; above it, those go first that are idle. 0: what the limit of
    #: open files allows, at most 8,192. An idle one costs about 10 kB.
    open: int = Field(default=0, ge=0)
    #: How long a request's head may take, from its first byte, and before that a TLS handshake; no client
    #: needs more than a round trip or two.
    head_s: float = Field(default=10.0, gt=0)
    #: How long an answer may wait for its client to take it.
    write_s: float = Field(default=30.0, gt=0)
    #: Bytes of bodies that are being read or worked on, of all connections of a worker together: 16 of the
    #: largest that ``limits.body_bytes`` allows.
    body_bytes: int = Field(default=64 * 1024 * 1024, ge=64 * 1024)
