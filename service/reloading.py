"""Reads the settings again when SIGHUP asks for it, one reading at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from common.deadline import Clock
from service.errors import StartError
from service.reload_retry import ReloadRetry
from service.runtime import Runtime
from service.settings import Settings, SettingsError
from service.telemetry.reloads import Reload

log = logging.getLogger("mrse.service")

ReadSettings = Callable[[], Settings]
#: Seconds between two looks at whether what was refused is to be tried again.
_LOOK_S = 1.0


class Reloader:
    """Takes the experiments of the settings as they are now, each time that it is asked.

    Asked while it loads or reloads, it reads once more afterwards: what was written before the last signal is
    always taken.

    Args:
        runtime: takes them.
        read: reads the settings; runs on a thread.
        again: whether what was refused is tried again by itself, as `ReloadRetry` says.
        clock: seconds.
    """

    def __init__(
        self,
        runtime: Runtime,
        read: ReadSettings,
        *,
        again: bool = False,
        clock: Clock = time.monotonic,
    ) -> None:
        self._runtime = runtime
        self._read = read
        self._retry = ReloadRetry() if again else None
        self._clock = clock
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Read again; in the event loop."""
        if self._retry is not None:
            self._retry.over()
        self._asked.set()

    async def run(self) -> None:
        """Reload when asked, once the service is loaded, until cancelled."""
        while True:
            await self._due()
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
            if self._retry is not None:
                self._retry.over() if result == "taken" else self._retry.refused(self._clock())

    async def _due(self) -> None:
        """Wait until it is asked, or what was refused is to be tried again."""
        while self._retry is not None and not self._retry.is_due(self._clock()):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), _LOOK_S)
                return
        if self._retry is None:
            await self._asked.wait()
