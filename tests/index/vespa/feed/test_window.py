"""How many requests may be under way."""

from __future__ import annotations

import asyncio

from index.vespa.feed.window import Window
from index.vespa.settings import FeedSettings


async def test_the_window_grows_and_shrinks() -> None:
    now = [0.0]
    window = Window(FeedSettings(window_start=4, window_min=2, window_max=6), clock=lambda: now[0])
    for _ in range(100):
        window.grow()
    assert window.size == 6
    now[0] = 10.0
    for _ in range(5):
        window.cut()
    assert window.size == 4  # one overload, one cut
    for _ in range(20):
        now[0] += 1
        window.cut()
    assert window.size == 2
    window.pause()
    waiting = asyncio.ensure_future(window.acquire())
    await asyncio.sleep(0)
    assert not waiting.done()
    await window.resume()
    await waiting
    assert (window.size, window.used) == (1, 1)
