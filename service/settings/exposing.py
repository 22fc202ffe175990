"""The group of the exposure log. Defaults are *inferred*."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from service.settings.caches import RedisUrl
from service.settings.groups import Group


class Exposures(Group):
    """What was shown to whom, an event an answer, for ``mrse experiment report``."""

    #: ``none``; ``jsonl`` and ``parquet`` are files below ``folder``, ``stream`` is a Redis Stream. Parquet
    #: is written a minute at a time, and a killed process loses that minute.
    sink: Literal["none", "jsonl", "parquet", "stream"] = "none"
    #: Where the files go; each worker has its own.
    folder: Path | None = None
    #: Name of the stream.
    stream: str = Field(default="exposures", min_length=1, max_length=128)
    #: Redis of the stream, where it is another than ``redis.url``.
    redis_url: RedisUrl | None = None
    #: Entries that the stream keeps, about.
    kept: int = Field(default=1_000_000, ge=1000)
    #: Longest wait for Redis, ms; on a thread of its own, so no request waits.
    timeout_ms: float = Field(default=2000.0, gt=0)
    #: Keys the hash of users. Without it whoever has a list of user ids can tell who is who.
    key: SecretStr | None = None
    #: Items of answers that wait to be written, of each worker; about 0.05 kB each where ids are short.
    #: Answers beyond that are left out and counted.
    waiting_items: int = Field(default=100_000, ge=1000)
    #: Size of a file after which another is begun.
    rotate_mb: int = Field(default=128, ge=1)
    #: Age of a file after which another is begun.
    rotate_s: int = Field(default=3600, ge=1)
    #: Room that the disk must have left: below that events are left out and counted.
    reserve_mb: int = Field(default=256, ge=0)

    @model_validator(mode="after")
    def _where(self) -> Exposures:
        if self.sink in ("jsonl", "parquet") and self.folder is None:
            raise ValueError(f"sink {self.sink} needs a folder")
        return self
