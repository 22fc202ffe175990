"""Large answers are compressed for clients that say in ``Accept-Encoding`` that they read it.

At the level that costs least: an answer is read once, mostly within one data centre. Small ones stay as they
are: compressing them would take longer than sending them. Very large ones, of batches, are compressed on a
thread, so that nobody waits for that.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import Response

#: Characters of an ``Accept-Encoding`` that is read; browsers send thirty.
_LONGEST = 1024
_GZIP = 16 + zlib.MAX_WBITS
#: Bytes of an answer below which nobody may ask for it: the least that `server.compress_from` can be.
LEAST = 1024
#: Bytes above which it is done on a thread: so many take gzip a millisecond, a thread as long to start.
_LARGE = 262_144
#: What is offered, best first.
OFFERED = ("zstd", "gzip")


def chosen(accept: str) -> str | None:
    """The encoding for a client that sends this ``Accept-Encoding``; None for none.

    Of those that it reads the one of the highest quality, and of equals the first of `OFFERED`.
    """
    if len(accept) > _LONGEST:
        return None
    quality = dict(_weighted(part) for part in accept.lower().split(","))
    other = quality.get("*", 0.0)
    best = max(OFFERED, key=lambda name: quality.get(name, other))
    return best if quality.get(best, other) > quality.get("identity", 0.0) else None


async def compress(response: Response, accept: str) -> None:
    """Compress the body of an answer where its client reads that; else leave it as it is."""
    headers = response.headers
    headers["Vary"] = ", ".join(filter(None, (headers.get("Vary"), "Accept-Encoding")))
    encoding = chosen(accept)
    if encoding is None:
        return
    work, body = _zstd if encoding == "zstd" else _gzip, bytes(response.body)
    response.body = work(body) if len(body) <= _LARGE else await asyncio.to_thread(work, body)
    headers["Content-Encoding"] = encoding
    headers["Content-Length"] = str(len(response.body))


def _gzip(body: bytes) -> bytes:
    return zlib.compress(body, 1, wbits=_GZIP)


def _zstd(body: bytes) -> bytes:
    import zstandard  # here: who never compresses need not load it

    return zstandard.ZstdCompressor(level=1).compress(body)


def _weighted(part: str) -> tuple[str, float]:
    """An encoding and its quality; one that cannot be read counts as refused."""
    name, _, parameter = part.partition(";")
    key, _, value = parameter.partition("=")
    if not parameter.strip():
        return name.strip(), 1.0
    try:
        return name.strip(), float(value) if key.strip() == "q" else 0.0
    except ValueError:
        return name.strip(), 0.0
