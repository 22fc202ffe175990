"""What stops a producer, told apart by type."""

from __future__ import annotations

from pathlib import Path


class ProduceError(Exception):
    """Redis cannot be used; what was written stays, and starting again goes on from there."""


class FeaturesRefused(ValueError):  # noqa: N818 -- the state of a folder
    """A folder whose item features cannot be used; ``path`` says which."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
