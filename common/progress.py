"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias


class Progress(Protocol):
    """Told the name of a stage, the units that are done, and all units (None while they are unknown)."""

    def __call__(self, stage: str, done: int, total: int | None, /) -> None:
        """Take note of it."""


#: The progress of one stage: units done and all units.
StageProgress: TypeAlias = Callable[[int, int | None], None]


def silent(stage: str, done: int, total: int | None, /) -> None:
    """A `Progress` that tells nobody."""


def silent_stage(done: int, total: int | None, /) -> None:
    """A `StageProgress` that tells nobody."""


def stage_progress(progress: Progress, stage: str) -> StageProgress:
    """The progress of one stage, told under its name."""
    return lambda done, total: progress(stage, done, total)
