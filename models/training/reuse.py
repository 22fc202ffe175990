"""What two runs over one shop have in common and need not make twice: data, picture features, experts."""

from __future__ import annotations

import os
from pathlib import Path

from models.towers.config import Config

_FILES = (
    "image.pt",
    "image.csv",
    "vit.pt",
    "pixels.npy",
    "picture_features.npy",
    "query_picture_features.npy",
    "coclicks.npz",
)


_EXPERTS = ("stage1.pt", "stage1.csv", "item_features.npy")


def alike(one: Config, other: Config) -> bool:
    """Whether picture stage and data of one serve the other as well.

    Seeds may differ: the image encoder stands in for a frozen one that is given, and data has no seed.
    """

    def part(config: Config) -> tuple[object, ...]:
        low = config.loss.low_relevance
        given = config.experts.bert  # its tokenizer comes with it
        return (config.threads, config.text, config.picture, config.image, config.data, low, given)

    return part(one) == part(other)


def same_experts(one: Config, other: Config) -> bool:
    """Whether stage 1 comes out the same: at most parts that stage 2 alone has differ."""

    def part(config: Config) -> object:
        later = {"history", "gate", "coclick"}
        return config.model_dump(exclude={"stage2": True, "switches": later, "checkpoint_minutes": True})

    return alike(one, other) and part(one) == part(other)


def reuse(donor: Path, out: Path, *, experts: bool = False) -> None:
    """Link the files of a finished run into a new run's folder; those that are there already stay.

    Args:
        donor: a run of an `alike` configuration over the same shop, finished.
        out: the new run's folder, claimed.
        experts: the trained experts as well, where `same_experts` allows it.
    """
    names = (*_FILES, *(_EXPERTS if experts else ()))
    files = [donor / name for name in names] + [f for f in (donor / "data").rglob("*") if f.is_file()]
    # Last, because it says that the data is whole.
    files.sort(key=lambda file: file.name == "prepared.json")
    for file in files:
        target = out / file.relative_to(donor)
        if file.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, target)
