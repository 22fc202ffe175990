"""What compressing an answer takes and saves, in the form that items have on the wire.

``python -m benchmarks.compression --url http://127.0.0.1:8080 --json FILE``, against a running service, such
as `mrse demo`. Answers of several sizes are fetched and compressed here as the service does it, beside the
other levels that gzip and zstd have. `server.compress_from` was chosen by it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import httpx
import zstandard

from service.http.compression import _gzip, _zstd

ROUNDS = 30
QUERY = "red running shoes"
WAYS: dict[str, Callable[[bytes], bytes]] = {
    "gzip 1 (ours)": _gzip,
    "gzip 6": lambda body: zlib.compress(body, 6, wbits=31),
    "zstd 1 (ours)": _zstd,
    "zstd 3": lambda body: zstandard.ZstdCompressor(level=3).compress(body),
}


def measured(body: bytes) -> dict[str, dict[str, float]]:
    """Median milliseconds and bytes of each way, in turns."""
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(ROUNDS):
        for name, compress in WAYS.items():
            began = time.perf_counter()
            compress(body)
            times[name].append(time.perf_counter() - began)
    return {
        name: {"ms": round(statistics.median(seconds) * 1000, 3), "bytes": len(WAYS[name](body))}
        for name, seconds in times.items()
    }


def main() -> int:
    """Fetch, measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compression")
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = []
    with httpx.Client(base_url=options.url, headers={"Accept-Encoding": "identity"}, timeout=60) as client:
        for k in (20, 200, 500, 1000):
            for form in ("application/json", "application/vnd.mrse.columnar+json"):
                answer = client.post("/v1/recall", json={"query": QUERY, "k": k}, headers={"Accept": form})
                answer.raise_for_status()
                row = {"k": k, "form": form, "bytes": len(answer.content), "ways": measured(answer.content)}
                found.append(row)
                print(json.dumps(row))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
