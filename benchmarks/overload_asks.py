"""What `benchmarks.overload` asks: bodies of each mix, and the probes beside them."""

from __future__ import annotations

import base64
import io
import random
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import orjson

from artifacts.bundle import Bundle
from benchmarks import load
from benchmarks.produce import make_queries

K, HITS, BATCH = 100, 200, 16
PROBE_EVERY_S = 0.05


class Asked(NamedTuple):
    """Bodies of requests, and of each its kind unless they are batches: ``known``, ``new`` or ``picture``."""

    bodies: list[bytes]
    kinds: list[str]


def asked_of(bundle: Bundle, mix: str, count: int, seed: int, batch: int = BATCH) -> Asked:
    """Bodies of requests; each seed has new queries of its own."""
    rng = random.Random(seed)
    known = make_queries(bundle, HITS)
    pictures = [_picture(rng) for _ in range(50)] if mix == "pictures" else []

    def one(new: bool) -> tuple[str, dict[str, Any]]:
        kind, words = "new" if new else "known", rng.choice(known)
        asked = {"query": f"{words} {rng.randrange(1000)}{load.FRESH.decode()}" if new else words, "k": K}
        if pictures and rng.random() < 0.25:
            kind = "picture"
            asked["picture"] = rng.choice(pictures)
            asked["query"] = f"{words} {load.FRESH.decode()}"
        return kind, asked

    if mix == "batches":
        entries = [[one(rng.random() > 0.8)[1] for _ in range(batch)] for _ in range(count)]
        return Asked([orjson.dumps({"requests": each}) for each in entries], [])
    drawn = [one(rng.random() > 0.8) for _ in range(count)]
    return Asked([orjson.dumps(asked) for _, asked in drawn], [kind for kind, _ in drawn])


def _picture(rng: random.Random) -> str:
    from PIL import Image

    pixels = np.frombuffer(rng.randbytes(32 * 32 * 3), np.uint8).reshape(32, 32, 3)
    written = io.BytesIO()
    Image.fromarray(pixels).resize((512, 512)).save(written, "JPEG")
    return base64.b64encode(written.getvalue()).decode()


class Beside:
    """Asks an address again and again while something else happens, and notes the times."""

    def __init__(self, address: str) -> None:
        self.milliseconds: list[float] = []
        self.failed = 0
        self._address = address

    def ask(self) -> float:
        """Milliseconds of one question; infinite where it failed."""
        began = time.perf_counter()
        try:
            urllib.request.urlopen(self._address, timeout=5).close()
        except OSError:
            self.failed += 1
            return float("inf")
        return (time.perf_counter() - began) * 1000

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Until the block ends."""
        over = threading.Event()

        def run() -> None:
            while not over.wait(PROBE_EVERY_S):
                self.milliseconds.append(self.ask())

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def p99_ms(self) -> float:
        """Infinite where it failed so often."""
        return round(float(np.quantile(self.milliseconds or [float("inf")], 0.99, method="higher")), 2)
