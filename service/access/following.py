"""Files that are read again when they change, such as that of the keys."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger("mrse.service")

#: Seconds between two looks at a file.
LOOK_EVERY_S = 1.0


def stamp(path: Path | None) -> tuple[int, ...] | None:
    """What changes when the file does; a mounted secret is a link whose target is replaced."""
    try:
        found = os.stat(path) if path is not None else None  # noqa: PTH116 -- one call
    except OSError:
        return None
    return None if found is None else (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


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
