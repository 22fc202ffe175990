"""Sends this process SIGHUP when its configuration file changes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from common.files import file_stamp

#: Seconds between two looks at the file.
LOOK_EVERY_S = 1.0
_Stamp = tuple[int, ...] | None


def hang_up_on_change(file: Path) -> None:
    """Look at the file for as long as the process runs, on a thread that ends with it.

    A change is one when the file has stood still for a look, so that half of it is not read; one that is gone
    changes nothing.
    """

    def hang_up() -> None:
        os.kill(os.getpid(), signal.SIGHUP)

    watch = ConfigWatch(file, hang_up)

    def follow() -> None:
        while True:
            time.sleep(LOOK_EVERY_S)
            watch.look()

    threading.Thread(target=follow, name="config", daemon=True).start()


class ConfigWatch:
    """Looks at a file.

    Args:
        file: what is looked at; a mounted one is a link whose target is replaced.
        changed: called when it changed and stands still.
    """

    def __init__(self, file: Path, changed: Callable[[], None]) -> None:
        self._file = file
        self._changed = changed
        self._taken = self._last = file_stamp(self._file)

    def look(self) -> None:
        """Look once."""
        last, self._last = self._last, file_stamp(self._file)
        if self._last is not None and self._last != self._taken and self._last == last:
            self._taken = self._last
            self._changed()
