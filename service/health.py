"""Whether a worker can answer, and what keeps it from answering."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Literal, get_args

log = logging.getLogger("mrse.service")

#: What can keep a worker from answering: it still loads, it is about to end, a part of what answers fails, or
#: the index's files or log are damaged. The label of the metric ``not_ready``.
Part = Literal["loading", "draining", "encoder", "fusion", "index", "log"]
PARTS: tuple[Part, ...] = get_args(Part)
#: What belongs to every start and end, and is no fault.
_PLANNED: frozenset[Part] = frozenset({"loading", "draining"})


class Health:
    """The reasons why a worker is not ready, one for each part that has one. Any thread may tell and ask.

    A new worker is not ready: it loads. Each change between ready and not is one line of the log.

    Args:
        changed: told whether the worker is ready, each time that this changes.
    """

    def __init__(self, changed: Callable[[bool], None] = lambda ready: None) -> None:
        self._changed = changed
        self._lock = threading.Lock()
        #: Replaced and never changed, so that it can be read without the lock.
        self._faults: dict[Part, str] = {"loading": "starting"}

    @property
    def ready(self) -> bool:
        """Whether nothing keeps the worker from answering."""
        return not self._faults

    @property
    def reasons(self) -> list[str]:
        """A sentence for each part that keeps the worker from answering, fit to be shown."""
        return list(self._faults.values())

    def failing(self, part: Part) -> bool:
        """Whether this part keeps the worker from answering."""
        return part in self._faults

    def fail(self, part: Part, reason: str) -> None:
        """Say that a part keeps the worker from answering; ``reason`` is fit to be shown."""
        with self._lock:
            self._replace({**self._faults, part: reason})

    def mend(self, part: Part) -> None:
        """Say that a part does not keep the worker from answering any more."""
        with self._lock:
            if part in self._faults:
                self._replace({known: why for known, why in self._faults.items() if known != part})

    def _replace(self, faults: dict[Part, str]) -> None:
        before, self._faults = self._faults, faults
        if bool(before) != bool(faults):
            # What ended is told where what began was: of a fault as a warning, of start and end as news.
            level = logging.INFO if _PLANNED.issuperset(before or faults) else logging.WARNING
            if faults:
                log.log(level, "not ready any more", extra={"reasons": list(faults.values())})
            else:
                log.log(level, "ready", extra={"after": list(before.values())})
            self._changed(not faults)
