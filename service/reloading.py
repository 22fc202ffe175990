"""Reads the settings again when SIGHUP asks for it, one reading at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from service.errors import StartError
from service.runtime import Runtime
from service.settings import Settings, SettingsError
from service.telemetry.reloads import Reload

log = logging.getLogger("mrse.service")

ReadSettings = Callable[[], Settings]


class Reloader:
    """Takes the experiments of the settings as they are now, each time that it is asked.

    Asked while it loads or reloads, it reads once more afterwards: what was written before the last signal is
    always taken.

    Args:
        runtime: takes them.
        read: reads the settings; runs on a thread.
    """

    def __init__(self, runtime: Runtime, read: ReadSettings) -> None:
        self._runtime = runtime
        self._read = read
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Read again; in the event loop."""
        self._asked.set()

    async def run(self) -> None:
        """Reload when asked, once the service is loaded, until cancelled."""
        while True:
            await self._asked.wait()
            while not self._runtime.ready:  # noqa: ASYNC110 -- at start alone
                await asyncio.sleep(0.1)
            self._asked.clear()
            result: Reload = "refused"
            try:
                await self._runtime.reload(await asyncio.to_thread(self._read))
                result = "taken"
            except (StartError, SettingsError) as error:
                log.error("not reloaded, everything stays as it was: %s", error)
            except Exception:
                log.exception("not reloaded, everything stays as it was")
            self._runtime.metrics.reloaded(result)
