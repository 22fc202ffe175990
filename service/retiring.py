"""Deployments that a reload has put out of service: closed when no request can use them any more."""

from __future__ import annotations

import asyncio
import gc

from common.memory import give_back
from service.deployment import Deployment
from service.opening import close_all

#: No request outlives its deadline, of at most 10 s, by much.
_LONGEST_REQUEST_S = 15.0


class Retiring:
    """Those that wait to be closed."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, deployments: list[Deployment]) -> None:
        """Close deployments later."""
        if deployments:
            task = asyncio.create_task(_close_later(deployments), name="retire")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Close all of them now."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _close_later(deployments: list[Deployment]) -> None:
    """Close deployments once no request can still use them, and free what they held.

    The collector is told to look, for by itself it seldom does. What was loaded in their place is not kept
    from it, as what was loaded at the start is: others that are retired by then would stay for good.
    """
    try:
        await asyncio.sleep(_LONGEST_REQUEST_S)
    finally:
        await close_all(deployments)
        deployments.clear()
        _collect()
    # Otherwise ten swaps within a minute would leave the memory of ten bundles with this process for good.
    await asyncio.to_thread(give_back)


def _collect() -> None:
    gc.collect()
