"""What two runs over one shop have in common and need not make twice: prepared data and picture features."""

from __future__ import annotations

import os
from pathlib import Path

from models.towers.config import Config

_FILES = (
    "image.pt",
    "image.csv",
    "pixels.npy",
    "picture_features.npy",
    "query_picture_features.npy",
    "coclicks.npz",
)


def alike(one: Config, other: Config) -> bool:
    """Whether the picture stage and the data before it come out the same for both."""

    def part(config: Config) -> tuple[object, ...]:
        low = config.loss.low_relevance
        return (config.seed, config.threads, config.text, config.picture, config.image, config.data, low)

    return part(one) == part(other)


def reuse(donor: Path, out: Path) -> None:
    """Link the files of a finished run into a new run's folder; those that are there already stay.

    Args:
        donor: a run of an `alike` configuration over the same shop, finished.
        out: the new run's folder, claimed.
    """
    files = [donor / name for name in _FILES] + [f for f in (donor / "data").rglob("*") if f.is_file()]
    # Last, because it says that the data is whole.
    files.sort(key=lambda file: file.name == "prepared.json")
    for file in files:
        target = out / file.relative_to(donor)
        if file.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, target)
