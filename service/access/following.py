"""Files that are read again when they change, such as that of the keys."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

log = logging.getLogger("mrse.service")

#: Seconds between two looks at a file.
LOOK_EVERY_S = 1.0


async def follow(
    refresh: Callable[[], bool], refreshed: Callable[[], object], failed: Callable[[], object]
) -> None:
    """Look at a file for as long as the service runs.

    Args:
        refresh: reads it again where it changed, on a thread, and says whether it did.
        refreshed: told when it did, in the event loop.
        failed: told of what ``refresh`` does not catch.
    """
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        try:
            if await asyncio.to_thread(refresh):
                refreshed()
        except Exception:  # else a key that is withdrawn later would stay good
            failed()
            log.exception("the keys stay as they were")
