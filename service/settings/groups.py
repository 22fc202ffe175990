"""The groups of settings: every key, its default and what it does. All frozen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError

from index.engines import ENGINES
from service.recall.routes.route import Share

#: Names of experiments and arms travel in headers and metric labels.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]


class Group(BaseModel):
    """A group of keys: frozen, and none beside those it has."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Server(Group):
    """Where the service listens and how it logs."""

    #: Address that is listened on; ``0.0.0.0`` for all. The port of the probes is at the same one.
    host: str = "127.0.0.1"
    #: 0: any that is free, which the log tells.
    port: int = Field(default=8080, ge=0, le=65_535)
    #: Another port, for ``/livez``, ``/readyz`` and ``/metrics`` alone, on a thread of its own: it answers
    #: however busy the service is. 0: none. Give it to an orchestrator and to Prometheus, not to strangers.
    probe_port: int = Field(default=0, ge=0, le=65_535)
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
    #: SIGHUP: for who cannot send a signal, as where the file lies on a volume of several services.
    watch_config: bool = False
    #: Where several workers make the folder that they count in; without it /dev/shm, or where that is missing
    #: the folder for temporary files.
    metrics_folder: Path | None = None
    #: The least level of the lines that are logged; queries and users are in none above debug.
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    #: Whether each request is a line of the log.
    access_log: bool = True
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


class RulesSettings(Group):
    """Pins and bans by query."""

    #: A JSON file, which need not be there yet: ``/admin/rules`` writes it, and a person may. What changes
    #: there is in the next answer of every worker.
    path: Path | None = None


class Playground(Group):
    """The page at ``/``."""

    #: Whether there is such a page; without it ``/`` is 404.
    enabled: bool = True
    #: Titles, pictures and attributes of items, a file that ``mrse serve --shop`` writes.
    previews: Path | None = None


class BundleSettings(Group):
    """The model. ``precision`` ``auto`` is int8 where the bundle has it and the device is a CPU."""

    #: The bundle's folder: ``--bundle``.
    path: Path | None = None
    #: ``auto`` is int8 where the bundle has it and the device is a CPU, else fp32.
    precision: Literal["auto", "fp32", "fp16", "int8"] = "auto"
    #: ``cuda`` needs the extra ``gpu``.
    device: Literal["cpu", "cuda"] = "cpu"
    #: Threads that each graph computes with, in each worker.
    threads: int = Field(default=1, ge=1)


def _known_engine(name: str) -> str:
    if name not in ENGINES:
        raise PydanticCustomError("engine", f"Input should be {' or '.join(map(repr, ENGINES))}")
    return name


class IndexSettings(Group):
    """The item index."""

    #: One of `index.engines`; each has a table of its own, such as ``[embedded]`` or ``[vespa]``.
    engine: Annotated[str, AfterValidator(_known_engine)] = "embedded"
    #: The index folder; for ``vespa`` the version's file that ``mrse vespa add-version`` wrote, such as
    #: ``vespa-package/versions/item_demo_1a2b3c4d.json``.
    path: Path | None = None


class Encoder(Group):
    """The micro-batching query encoder."""

    #: Queries that share a run of the graph.
    max_batch: int = Field(default=32, ge=1)
    #: Queries that may wait; more are refused with 503.
    queue: int = Field(default=256, ge=1)
    #: Pictures that may wait to be decoded.
    picture_queue: int = Field(default=16, ge=1)
    #: Processes that decode them, about 5 MB each beside a parent of 20 MB.
    picture_lanes: int = Field(default=2, ge=1, le=64)
    #: Longest time that decoding one may take, ms: four times what 20 million pixels take on a quiet machine.
    #: Then its process is killed and the picture refused.
    picture_ms: int = Field(default=1000, ge=50, le=60_000)


class Cache(Group):
    """The caches in process."""

    #: Query experts kept, about 1 KB each. 0: none.
    entries: int = Field(default=50_000, ge=0)
    #: How long they are kept.
    ttl_s: float = Field(default=3600.0, gt=0)
    #: Neighbours of I2I's triggers: lists kept for each index, about 4 KB each, until it changes. A list over
    #: 16 KB counts as several. 0: none.
    neighbours: int = Field(default=4096, ge=0)
    #: Queries without a history: embeddings and results of Q2I kept for each index, about 15 KB each at
    #: k = 200; the results until the index changes. A result over 16 KB counts as several. 0: none.
    queries: int = Field(default=1024, ge=0)


def _redis_url(url: SecretStr) -> SecretStr:
    """Refuse what the client cannot connect to, before anything is loaded; the message shows no password."""
    try:
        parts = urlsplit(url.get_secret_value())
        usable = parts.scheme in ("redis", "rediss", "unix") and parts.port != 0
    except ValueError:  # a port that is no number
        usable = False
    if not usable:
        expected = "Input should be redis://host:port/0, rediss://… with TLS, or unix://…"
        raise PydanticCustomError("redis_url", expected)
    return url


RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]


class RedisSettings(Group):
    """The shared cache, which is used when ``url`` is set."""

    #: ``redis://host:6379/0``, ``rediss://…`` with TLS, or ``unix://…``; without it nothing is shared.
    url: RedisUrl | None = None
    #: Longest wait for Redis in one request. Without Redis an answer is slower, never an error.
    timeout_ms: float = Field(default=20.0, gt=0)
    #: Longest wait for a connection to Redis.
    connect_timeout_ms: float = Field(default=200.0, gt=0)
    #: How long Redis keeps what the service writes to it.
    ttl_s: float = Field(default=86_400.0, gt=0)
    #: Values that may wait to be written; more are dropped and counted.
    write_queue: int = Field(default=4096, ge=1)
    #: Failures in a row after which Redis is left alone.
    breaker_failures: int = Field(default=3, ge=1)
    #: How long it is left alone; then one request tries.
    breaker_open_s: float = Field(default=2.0, gt=0)


class Tracing(Group):
    """OpenTelemetry traces; needs the ``tracing`` extra. What is not set here, ``OTEL_*`` variables say."""

    #: OTLP over HTTP, such as ``http://collector:4318/v1/traces``. Without it nothing is traced, unless
    #: ``OTEL_EXPORTER_OTLP_ENDPOINT`` or ``OTEL_TRACES_EXPORTER=otlp`` asks for it.
    endpoint: str | None = None
    #: Share of the requests without a sampled parent that are traced: 0.01, unless ``OTEL_TRACES_SAMPLER``
    #: says otherwise.
    sample: Share | None = None
    #: Longest wait for the collector, which no request waits for.
    timeout_s: float | None = Field(default=None, gt=0)


class Arm(Group):
    """One arm of an experiment. Only arms of ``towers`` name another bundle and index."""

    #: Its share of the units, over the sum of the experiment's weights.
    weight: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    #: Of an arm of ``towers``: the bundle that answers it. Without one it is ``bundle.path``.
    bundle: Path | None = None
    #: Of an arm of ``towers``: the index that goes with that bundle.
    index: Path | None = None
    #: Whether any caller may choose it by ``X-Experiment``; a key of scope ``experiments`` may anyway.
    forced: bool = False
    #: What this arm changes in ``[recall]``, such as ``{i2i = {enabled = false}}``.
    recall: dict[str, Any] = Field(default_factory=dict)


class Limits(Group):
    """How much one request, and all requests together, may ask for."""

    #: Items that a request may ask for.
    max_k: int = Field(default=1000, ge=1, le=10_000)
    #: Bytes of a body, pictures included.
    body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    #: Of these, what is not a picture, in one request; a batch may have 16 times as many. A history of 200
    #: behaviours takes up to 45 kB, 1,000 values of a filter 20 kB.
    request_bytes: int = Field(default=64 * 1024, ge=1024)
    #: How long a client may take to send its body.
    body_timeout_s: float = Field(default=10.0, gt=0)
    #: Bytes of a picture, before base64.
    picture_bytes: int = Field(default=2 * 1024 * 1024, ge=1)
    #: Pixels of a picture: what is larger is refused by its head, before it is decoded.
    picture_pixels: int = Field(default=20_000_000, ge=1)
    #: Requests in one batch.
    batch: int = Field(default=64, ge=1, le=1024)
    #: Entries of one batch that are worked on at once.
    batch_parallel: int = Field(default=16, ge=1)
    #: Requests worked on at once, where each entry of a batch counts; fewer while that makes them quicker.
    #: More wait for their turn, or are refused with 503 where they would wait too long.
    in_flight: int = Field(default=256, ge=1)
    #: Load above which requests get fewer candidates. The load of a request is from 0 to 1, where requests
    #: are refused: how long it waited, as a share of how long it may wait; or the share of ``in_flight`` that
    #: is being worked on, if that is more. When a route is left out stands in its own table,
    #: ``recall.<name>.shed_at``.
    shed_candidates_at: Share = 0.7
    #: Load above which requests are answered without a portrait.
    shed_portrait_at: Share = 0.85
    #: Share of k that is looked for where there are to be fewer candidates.
    shed_k: Share = 0.5
    #: What a client that is refused is told to wait, at least; up to three times as long, for they are not to
    #: come back all together.
    retry_after_s: int = Field(default=1, ge=1)
    #: The header in which a proxy tells the client's address, such as ``X-Forwarded-For``; its last value
    #: counts. Only for a service that is reached through that proxy alone, since any client can send it.
    #: Without it all clients behind a proxy are one, and have one share together.
    client_header: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]{1,64}$")

    @model_validator(mode="after")
    def _order(self) -> Limits:
        if self.shed_candidates_at > self.shed_portrait_at:
            raise ValueError("shed_candidates_at is above shed_portrait_at")
        return self


class DeadlineSettings(Group):
    """Time for one request, counted from its first byte, waiting included.

    What a client takes to send the rest of its body is not counted.
    """

    #: Of a request that names no ``timeout_ms``.
    default_ms: int = Field(default=250, ge=1, le=10_000)
    #: Kept back from the routes, for merging and writing the answer.
    reserve_ms: float = Field(default=2.0, ge=0)


Experiments = dict[Name, dict[Name, Arm]]
