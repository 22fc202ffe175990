"""When a reload that was refused is tried again, where nobody is there to ask for it.

A configuration that is watched may come before what it names: an index that is still being copied, a Redis or
Vespa that starts later. What was refused is tried again with the file as it is then.
"""

from __future__ import annotations

#: Seconds until the first and the longest pause before another try; it doubles. *Inferred*: copies and starts
#: take minutes, and each try costs the loading of a bundle and an index.
FIRST_S, LONGEST_S = 30.0, 600.0


class ReloadRetry:
    """When the next try is due; ``now`` is in seconds of the caller's clock."""

    def __init__(self) -> None:
        self._pause = FIRST_S
        self._due: float | None = None

    def refused(self, now: float) -> float:
        """Note that a reload was refused; gives the seconds until it is tried again."""
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_S)
        self._due = now + pause
        return pause

    def over(self) -> None:
        """Note that a reload was taken, or asked for: what was refused before does not matter."""
        self._pause, self._due = FIRST_S, None

    def is_due(self, now: float) -> bool:
        """Whether to try now; said once."""
        if self._due is None or now < self._due:
            return False
        self._due = None
        return True
