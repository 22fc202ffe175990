"""Where events go. All of it runs on the log's thread.

Files are whole: a line that was torn by a full disk ends its file, and the next event begins another.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Protocol

import orjson
from redis import Redis

from artifacts.exposures import FILE_PREFIX, STREAM_FIELD
from common.files import replacing
from service.errors import StartError
from service.exposures.event import Event
from service.settings import Settings
from service.settings.exposing import Exposures

_MB = 1024 * 1024
#: A file of Parquet is written when it has so many items, or is so many seconds old.
_PARQUET_ITEMS, _PARQUET_S = 200_000, 60.0


class Sink(Protocol):
    """Takes events. Every method may raise OSError or RedisError; what it was given is then lost."""

    @property
    def held(self) -> int:
        """Events that were taken and are not written yet."""

    def prepare(self) -> None:
        """See whether it can be written to."""

    def write(self, events: Sequence[Event]) -> int:
        """Take events; how many were written."""

    def tend(self) -> int:
        """Write what is due; how many were written."""

    def close(self) -> int:
        """Write what is held; how many were written."""


def open_sink(settings: Settings) -> Sink | None:
    """The sink of the settings; nothing is opened yet.

    Raises:
        StartError: there is no Redis for a stream.
    """
    knobs = settings.exposures
    if knobs.sink == "none":
        return None
    if knobs.sink == "stream":
        url = knobs.redis_url or settings.redis.url
        if url is None:
            raise StartError("exposures.sink is stream, and there is no Redis: set redis.url")
        return _Stream(knobs, url.get_secret_value())
    assert knobs.folder is not None
    return _JsonLines(knobs, knobs.folder) if knobs.sink == "jsonl" else _Parquet(knobs, knobs.folder)


class _Files:
    """What both kinds of files share: names, and room on the disk."""

    suffix = ""

    def __init__(self, knobs: Exposures, folder: Path) -> None:
        self.knobs = knobs
        self.folder = folder
        self._numbers = itertools.count()

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        trial = self.folder / f".{FILE_PREFIX}{os.getpid()}"
        trial.touch()
        trial.unlink()

    def path(self) -> Path:
        """Of the next file: no other worker and no other start has it."""
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        return self.folder / f"{FILE_PREFIX}{now}-{os.getpid()}-{next(self._numbers)}{self.suffix}"

    def check_room(self) -> None:
        """Refuse to fill the disk, which others need more.

        Raises:
            OSError: less is left than ``reserve_mb``.
        """
        if shutil.disk_usage(self.folder).free < self.knobs.reserve_mb * _MB:
            raise OSError(f"{self.folder} has less room than exposures.reserve_mb")


class _JsonLines(_Files):
    suffix = ".jsonl"
    held = 0

    def __init__(self, knobs: Exposures, folder: Path) -> None:
        super().__init__(knobs, folder)
        self._file: IO[bytes] | None = None
        self._bytes = 0
        self._since = 0.0

    def write(self, events: Sequence[Event]) -> int:
        self.check_room()
        content = b"\n".join([*[event.line for event in events], b""])
        if self._file is None:
            # Without a buffer: what was written is in the system's hands, whatever ends the process.
            self._file = self.path().open("xb", buffering=0)
            self._bytes, self._since = 0, time.monotonic()
        try:
            left = memoryview(content)
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            self.close()
            raise
        self._bytes += len(content)
        if self._bytes >= self.knobs.rotate_mb * _MB:
            self.close()
        return len(events)

    def tend(self) -> int:
        if self._file is not None and time.monotonic() - self._since >= self.knobs.rotate_s:
            self.close()
        return 0

    def close(self) -> int:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()
        return 0


class _Parquet(_Files):
    suffix = ".parquet"

    def __init__(self, knobs: Exposures, folder: Path) -> None:
        super().__init__(knobs, folder)
        self._rows: list[Event] = []
        self._items = 0
        self._since = 0.0

    @property
    def held(self) -> int:
        return len(self._rows)

    def write(self, events: Sequence[Event]) -> int:
        if not self._rows:
            self._since = time.monotonic()
        self._rows += events
        self._items += sum(event.items for event in events)
        return self._flush() if self._items >= _PARQUET_ITEMS else 0

    def tend(self) -> int:
        due = min(_PARQUET_S, self.knobs.rotate_s)
        return self._flush() if self._rows and time.monotonic() - self._since >= due else 0

    def close(self) -> int:
        return self._flush() if self._rows else 0

    def _flush(self) -> int:
        import pyarrow as pa
        from pyarrow import parquet

        rows, self._rows, self._items = self._rows, [], 0
        self.check_room()
        table = pa.Table.from_pylist([_mapped(orjson.loads(row.line)) for row in rows], schema=_schema(pa))
        with replacing(self.path()) as written:
            parquet.write_table(table, written, compression="zstd")
        return len(rows)


def _mapped(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event whose dictionaries are lists of pairs, as columns of maps take them."""
    attributes = event["query_attributes"]
    maps = {name: list(attributes[name].items()) for name in ("arms", "shares", "routes")}
    return {**event, "query_attributes": {**attributes, **maps}}


def _schema(pa: Any) -> Any:
    text = pa.string()
    attributes = {
        "unit": text,
        "query_hash": text,
        "arms": pa.map_(text, text),
        "forced": pa.list_(text),
        "shares": pa.map_(text, pa.float64()),
        "bundle": text,
        "index": text,
        "routes": pa.map_(text, pa.list_(text)),
        "teams": pa.list_(text),
        "partial": pa.bool_(),
        "degraded": pa.list_(text),
        "took_ms": pa.float64(),
    }
    columns = {
        "format": pa.int32(),
        "application": text,
        "query_id": text,
        "client_id": text,
        "timestamp": text,
        "query_response_hit_ids": pa.list_(text),
        "query_attributes": pa.struct(list(attributes.items())),
    }
    return pa.schema(list(columns.items()))


class _Stream:
    held = 0

    def __init__(self, knobs: Exposures, url: str) -> None:
        self._knobs = knobs
        timeout_s = knobs.timeout_ms / 1000
        self._redis = Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s)

    def prepare(self) -> None:
        """A Redis that is away keeps nobody from starting."""

    def write(self, events: Sequence[Event]) -> int:
        pipe = self._redis.pipeline(transaction=False)
        for event in events:
            fields: Any = {STREAM_FIELD: event.line}
            pipe.xadd(self._knobs.stream, fields, maxlen=self._knobs.kept, approximate=True)
        pipe.execute()
        return len(events)

    def tend(self) -> int:
        return 0

    def close(self) -> int:
        self._redis.close()
        return 0
