"""Answers queries as Vespa would, from memory, at many times a client's speed: the clients are measured.

``python -m benchmarks.vespa_server HITS`` prints the port that answers and the port that never does.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import numpy as np
import orjson


def rendered(hits: int, *, summaries: bool = False) -> bytes:
    """One HTTP answer with that many hits, as Vespa 8.700.24 writes it; ``summaries``: ids are a field."""
    cosines = np.sort(np.random.default_rng(0).uniform(0.2, 0.9, hits))[::-1]
    children = [
        {
            "id": f"index:items/0/{row:024x}",
            "relevance": 1.0 / (2.0 - cosine),
            "source": "items",
            "fields": {"item_id": f"SKU-{1_000_000 + row}"}
            if summaries
            else {"matchfeatures": {"item": {f"SKU-{1_000_000 + row}": 1.0}}},
        }
        for row, cosine in enumerate(cosines.tolist())
    ]
    root = {
        "id": "toplevel",
        "relevance": 1.0,
        "fields": {"totalCount": hits},
        "coverage": {
            "coverage": 100,
            "documents": 10**6,
            "full": True,
            "nodes": 1,
            "results": 1,
            "resultsFull": 1,
        },
        "children": children,
    }
    body = orjson.dumps({"root": root})
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Answering(asyncio.Protocol):
    """Keep-alive HTTP/1.1: the same bytes for every request, or others where it selects ``item_id``."""

    def __init__(self, payload: bytes | None, summaries: bytes = b"") -> None:
        self._payload, self._summaries = payload, summaries
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            place = head.find(b"content-length:")
            length = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            sent = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            if self._payload is not None and self._transport is not None:
                self._transport.write(self._summaries if b"select item_id " in sent else self._payload)


async def serve(hits: int) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    payload, summaries = rendered(hits), rendered(hits, summaries=True)
    answering = await loop.create_server(lambda: Answering(payload, summaries), "127.0.0.1", 0)
    silent = await loop.create_server(lambda: Answering(None), "127.0.0.1", 0)
    print(*(server.sockets[0].getsockname()[1] for server in (answering, silent)), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    answering.close()
    silent.close()


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(serve(int(sys.argv[1])))
    except ImportError:
        asyncio.run(serve(int(sys.argv[1])))
