"""Pictures in processes of their own: what the way there costs, and what hostile pictures do to the others.

``python -m benchmarks.pictures [--quick] --json FILE``

The way: a decode in a lane against the same decode on a thread, in turns, for photos of three sizes.
Hostile: two clients send pictures that take all the time and memory they may, each a new one, while another
sends a small photo every 50 ms; its times beside against alone. Memory: what the processes hold together.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import numpy as np
import uvloop

from artifacts.bundle.pictures import decode_picture
from artifacts.cache.keys import picture_digest
from artifacts.pictures.head import read_head
from benchmarks.memory import pss_mb
from benchmarks.report import Claim, arguments, finish
from devtools.pictures import blank_png, photo
from service.errors import RecallError
from service.query.decoder.decoder import PictureDecoder
from service.query.picture import QueryPicture
from service.settings import Encoder, Limits

SIDE = 64
#: Sides of the square photos that are decoded both ways.
SIDES = (64, 320, 1000)
PACE_S = 0.05


def asked(data: bytes) -> QueryPicture:
    """As a request has it once it is checked."""
    return QueryPicture(data, picture_digest(data), read_head(data).work)


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """Seconds that it takes."""
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start


async def the_way(decoder: PictureDecoder, rounds: int) -> dict[str, Any]:
    """Median µs of a decode in a lane and on a thread, and between the two, by the photo's side."""
    found: dict[str, Any] = {}
    for side in SIDES:
        picture = asked(photo(side))
        lane, thread = [], []
        for _ in range(rounds):
            lane.append(await timed(lambda: decoder.rgb(picture, SIDE)))  # noqa: B023 -- done at once
            thread.append(await timed(lambda: asyncio.to_thread(decode_picture, picture.data, SIDE)))  # noqa: B023
        there, here = statistics.median(lane) * 1e6, statistics.median(thread) * 1e6
        found[str(side)] = {
            "lane_us": there,
            "thread_us": here,
            "hop_us": there - here,
            "bytes": len(picture.data),
        }
    return found


async def paced(decoder: PictureDecoder, seconds: float) -> dict[str, float]:
    """A good client's times in ms, and how many of its pictures failed."""
    times, failed = [], 0
    end = time.perf_counter() + seconds
    for number in range(10**9):
        if time.perf_counter() > end:
            break
        picture = asked(photo(200, number))
        expected = decode_picture(picture.data, SIDE).tobytes()
        start = time.perf_counter()
        try:
            failed += await decoder.rgb(picture, SIDE) != expected
        except RecallError:
            failed += 1
        times.append((time.perf_counter() - start) * 1000)
        await asyncio.sleep(PACE_S)
    p50, p99 = np.percentile(times, [50, 99])
    return {
        "pictures": len(times),
        "failed": failed,
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "max_ms": max(times),
    }


async def attack(decoder: PictureDecoder, dear: bytes, seed: int) -> None:
    """New dear pictures, one after the other."""
    for number in range(10**9):
        with suppress(RecallError):
            await decoder.rgb(asked(dear + bytes((seed, *number.to_bytes(4, "big")))), SIDE)


async def measure(*, quick: bool) -> dict[str, Any]:
    """All of it, on one event loop."""
    dear = blank_png(4472, 4472)
    counts: Counter[str] = Counter()
    decoder = PictureDecoder(
        Encoder(picture_queue=64), Limits().picture_pixels, lambda outcome: counts.update([outcome])
    )
    try:
        decoder.start()
        await decoder.rgb(asked(photo(64)), SIDE)
        runs: dict[str, Any] = {"way": await the_way(decoder, 50 if quick else 500)}
        if sys.platform == "linux":
            runs["pss_mb"] = {str(pid): pss_mb(pid) for pid in decoder.processes()}
        seconds = 5 if quick else 60
        runs["alone"] = await paced(decoder, seconds)
        attackers = [asyncio.create_task(attack(decoder, dear, seed)) for seed in range(2)]
        runs["beside"] = await paced(decoder, seconds)
        for task in attackers:
            task.cancel()
        await asyncio.gather(*attackers, return_exceptions=True)
        runs["outcomes"] = dict(counts)
    finally:
        await asyncio.to_thread(decoder.close)
    return runs


def main() -> int:
    """See the module."""
    options = arguments(__doc__ or "")
    runs = uvloop.run(measure(quick=options.quick))
    way, beside = runs["way"], runs["beside"]
    claims = [
        Claim.at_most(f"way there and back, photo of {side}", way[str(side)]["hop_us"], goal, "µs")
        for side, goal in zip(SIDES, (300, 400, 2000), strict=True)
    ]
    claims += [
        Claim.at_most("good pictures that failed beside hostile ones", beside["failed"], 0),
        Claim.at_most("p99 beside hostile ones", beside["p99_ms"], 100, "ms"),
    ]
    if "pss_mb" in runs:
        claims.append(Claim.at_most("memory of the processes", sum(runs["pss_mb"].values()), 50, "MB"))
    for name in ("alone", "beside"):
        print(f"{name:<8}" + "  ".join(f"{key} {value:.1f}" for key, value in runs[name].items()))
    return finish(claims, runs, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
