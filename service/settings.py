"""Settings: one TOML file and the environment, read once, frozen, and handed to the composition root.

Order: command line, then environment, then the TOML file, then the defaults below. An environment
variable is ``MRSE_<GROUP>_<KEY>``, such as ``MRSE_SERVER_PORT`` or ``MRSE_REDIS_URL``; the file's path is
``MRSE_CONFIG`` or ``--config``. A key that does not exist is an error that names it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from service.masking import mask_url

CONFIG_VARIABLE = "MRSE_CONFIG"
#: Names of experiments and variants travel in headers and metric labels.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
MergeMethod = Literal["score", "rrf"]


class SettingsError(ValueError):
    """The settings cannot be used; the message names the key and where it came from."""


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Server(_Group):
    """Where the service listens and how it logs."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65_535)
    workers: int = Field(default=1, ge=1, le=256)
    backlog: int = Field(default=2048, ge=1)
    keep_alive_s: int = Field(default=75, ge=1)
    #: How long running requests may finish after SIGTERM.
    drain_s: int = Field(default=15, ge=0)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    access_log: bool = True


class BundleSettings(_Group):
    """The model. ``precision`` ``auto`` is int8 where the bundle has it and the device is a CPU."""

    path: Path | None = None
    precision: Literal["auto", "fp32", "fp16", "int8"] = "auto"
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = Field(default=1, ge=1)


class IndexSettings(_Group):
    """The item index."""

    engine: Literal["embedded", "vespa"] = "embedded"
    path: Path | None = None
    #: Searches that run at once; two, so that Q2I and I2I run side by side.
    threads: int = Field(default=2, ge=1)
    #: Base address of Vespa's query and document API, such as ``http://vespa:8080``.
    url: str | None = None


class Encoder(_Group):
    """The micro-batching query encoder."""

    max_batch: int = Field(default=32, ge=1)
    #: Jobs that may wait; above it a request is refused with 503.
    queue: int = Field(default=256, ge=1)
    #: Pictures that may wait for decoding.
    picture_queue: int = Field(default=16, ge=1)


class Cache(_Group):
    """The in-process cache of query experts."""

    entries: int = Field(default=50_000, ge=0)
    ttl_s: float = Field(default=3600.0, gt=0)


class RedisSettings(_Group):
    """The shared cache; used when ``url`` is set."""

    url: SecretStr | None = None
    #: Longest wait for Redis in one request; Redis away is a slower answer, never an error.
    timeout_ms: float = Field(default=20.0, gt=0)
    connect_timeout_ms: float = Field(default=200.0, gt=0)
    ttl_s: float = Field(default=86_400.0, gt=0)
    #: Values that may wait to be written; more are dropped and counted.
    write_queue: int = Field(default=4096, ge=1)
    #: Failures in a row that open the breaker, and how long it stays open.
    breaker_failures: int = Field(default=3, ge=1)
    breaker_open_s: float = Field(default=2.0, gt=0)


class Recall(_Group):
    """How items are recalled and merged. All values are *inferred*: the paper gives none of them."""

    #: Share of the answer's places that each route is sure of when it has that many items.
    q2i_share: Share = 0.8
    i2i_share: Share = 0.2
    #: Candidates that I2I returns, as a share of k.
    i2i_candidates: Share = 0.3
    i2i_enabled: bool = True
    #: Triggers used at most, and neighbours looked up for each.
    triggers: int = Field(default=5, ge=1, le=20)
    neighbours: int = Field(default=30, ge=1, le=500)
    #: Least cosine between a history item and the query for it to be a trigger.
    trigger_floor: float = Field(default=0.3, ge=-1, le=1)
    #: Older behaviours (days) are no triggers.
    trigger_max_age_days: float = Field(default=30.0, gt=0)
    #: Items from the head of Q2I that serve as triggers when history gives none.
    head_triggers: int = Field(default=2, ge=0, le=20)
    #: Least cosine between a neighbour and the query.
    relevance_floor: float = Field(default=0.2, ge=-1, le=1)
    merge: MergeMethod = "score"
    #: Constant of reciprocal-rank fusion.
    rrf_k: int = Field(default=60, ge=1)
    #: Factor on I2I's path score cos(q, trigger) x cos(trigger, item) under ``merge = "score"``.
    i2i_calibration: float = Field(default=0.9, ge=0, le=2)

    @model_validator(mode="after")
    def _shares(self) -> Recall:
        if self.q2i_share + self.i2i_share > 1.0 + 1e-9:
            raise ValueError("q2i_share and i2i_share together are above 1")
        return self


class Variant(_Group):
    """One arm of an experiment. Only arms of ``towers`` name another bundle and index."""

    weight: float = Field(default=1.0, ge=0)
    bundle: Path | None = None
    index: Path | None = None
    #: Keys of the ``recall`` group that this arm changes.
    recall: dict[str, Any] = Field(default_factory=dict)


class Limits(_Group):
    """What one request, and all of them together, may ask for."""

    max_k: int = Field(default=1000, ge=1, le=10_000)
    body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    #: How long a client may take to send its body.
    body_timeout_s: float = Field(default=10.0, gt=0)
    picture_bytes: int = Field(default=2 * 1024 * 1024, ge=1)
    picture_pixels: int = Field(default=20_000_000, ge=1)
    batch: int = Field(default=64, ge=1, le=1024)
    #: Requests (entries of a batch count one each) worked on at once; above it 503.
    in_flight: int = Field(default=256, ge=1)
    #: Shares of ``in_flight`` above which work shrinks: no I2I, fewer candidates, no portrait.
    shed_i2i_at: Share = 0.5
    shed_candidates_at: Share = 0.7
    shed_portrait_at: Share = 0.85
    #: Share of k that is still asked for under pressure.
    shed_k: Share = 0.5
    retry_after_s: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _order(self) -> Limits:
        if not self.shed_i2i_at <= self.shed_candidates_at <= self.shed_portrait_at:
            raise ValueError("shed_i2i_at, shed_candidates_at and shed_portrait_at must not descend")
        return self


class DeadlineSettings(_Group):
    """Time for one request, counted from its last byte."""

    default_ms: int = Field(default=250, ge=1, le=10_000)
    #: Kept back from the routes for merging and writing the answer.
    reserve_ms: float = Field(default=2.0, ge=0)


Experiments = dict[Name, dict[Name, Variant]]


class Settings(BaseSettings):
    """Everything that can be set; frozen."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="MRSE_",
        env_nested_delimiter="_",
        env_nested_max_split=1,
        env_ignore_empty=True,
    )

    server: Server = Server()
    bundle: BundleSettings = BundleSettings()
    index: IndexSettings = IndexSettings()
    encoder: Encoder = Encoder()
    cache: Cache = Cache()
    redis: RedisSettings = RedisSettings()
    recall: Recall = Recall()
    experiments: Experiments = Field(default_factory=dict)
    limits: Limits = Limits()
    deadline: DeadlineSettings = DeadlineSettings()

    @model_validator(mode="after")
    def _experiments(self) -> Settings:
        for name, variants in self.experiments.items():
            if not variants or sum(v.weight for v in variants.values()) <= 0:
                raise ValueError(f"experiments.{name}: no variant has a weight")
            for arm, variant in variants.items():
                if name != "towers" and (variant.bundle or variant.index):
                    raise ValueError(
                        f"experiments.{name}.{arm}: only arms of `towers` name a bundle or index"
                    )
                if (variant.bundle is None) != (variant.index is None):
                    raise ValueError(f"experiments.{name}.{arm}: bundle and index go together")
                try:  # a bad arm must fail now, not in the first request that draws it
                    Recall.model_validate(self.recall.model_dump() | variant.recall)
                except ValidationError as error:
                    first = error.errors(include_url=False)[0]
                    key = ".".join(["experiments", name, arm, "recall", *map(str, first["loc"])])
                    raise ValueError(f"{key}: {first['msg']}") from error
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The command line and the environment; `load_settings` adds the file."""
        return init_settings, env_settings


def load_settings(config: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings.

    Args:
        config: the TOML file; without it ``MRSE_CONFIG``, and without that no file.
        overrides: nested groups from the command line, such as ``{"server": {"port": 9000}}``.

    Raises:
        SettingsError: no such file, not TOML, an unknown key, a wrong value.
    """
    file = config or (Path(env) if (env := os.environ.get(CONFIG_VARIABLE)) else None)
    values = {} if file is None else _read_toml(file)

    class Source(PydanticBaseSettingsSource):
        """The TOML file, weaker than the environment."""

        def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
            return values.get(field_name), field_name, True

        def __call__(self) -> dict[str, Any]:
            return values

    class Loaded(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, Source(settings_cls)

    try:
        loaded = Loaded(**dict(overrides or {}))
    except ValidationError as error:
        raise SettingsError(_explain(error, values, file)) from error
    except ValueError as error:  # pydantic-settings: a variable that should be JSON is not
        raise SettingsError(f"environment: {error}") from error
    return Settings.model_construct(**{name: getattr(loaded, name) for name in Settings.model_fields})


def effective(settings: Settings) -> dict[str, Any]:
    """The settings as plain values, secrets hidden, for ``mrse serve --print-config``."""
    shown = settings.model_dump(mode="json")
    url = settings.redis.url
    shown["redis"]["url"] = None if url is None else mask_url(url.get_secret_value())
    if settings.index.url:
        shown["index"]["url"] = mask_url(settings.index.url)
    return shown


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: not TOML: {error}") from error


def _explain(error: ValidationError, values: Mapping[str, Any], file: Path | None) -> str:
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        key = ".".join(str(part) for part in problem["loc"])
        unknown = problem["type"] == "extra_forbidden"
        reason = "there is no such key" if unknown else problem["msg"].removeprefix("Value error, ")
        lines.append(f"{_origin(problem['loc'], values, file)}{key}{': ' if key else ''}{reason}")
    return "\n".join(lines)


def _origin(path: tuple[int | str, ...], values: Any, file: Path | None) -> str:
    """Where a value came from, as far as it can be told: the environment wins over the file."""
    variable = "MRSE_" + "_".join(str(part) for part in path[:2]).upper()
    if variable in os.environ:
        return f"{variable}: "
    for part in path:
        if not isinstance(values, Mapping) or part not in values:
            return ""
        values = values[part]
    return f"{file}: " if path and file is not None else ""
