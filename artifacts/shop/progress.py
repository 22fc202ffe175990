"""How long work tells its caller how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

#: Called with the number done and the total, None where the total is not known beforehand.
Progress: TypeAlias = Callable[[int, int | None], None]

#: Rows between two calls, so that the callback costs nothing beside the rows.
STEP = 1000


def no_progress(done: int, total: int | None) -> None:
    """Tell nobody."""
