"""What one run over a shop can take from another instead of making it again: data, pictures, experts."""

from __future__ import annotations

import os
from pathlib import Path

from models.towers.config import Config

_PICTURES = ("pixels.npy", "picture_features.npy", "query_picture_features.npy")
_FILES = ("image.pt", "image.csv", "vit.pt", "encoder.pt", "encoder.onnx", *_PICTURES, "coclicks.npz")
_TEACHER = ("teacher.pt", "teacher.csv", "teacher.json")
_EXPERTS = ("stage1.pt", "stage1.csv", "item_features.npy", *_TEACHER)


def alike(one: Config, other: Config) -> bool:
    """Whether data and picture stage of one run serve the other as well.

    Seeds must be the same: an interval over seeds is one over all that is trained, the image encoder too.
    """

    def part(config: Config) -> tuple[object, ...]:
        low = config.loss.low_relevance
        pretrained = config.experts.bert  # its tokenizer comes with it
        return (
            config.seed,
            config.threads,
            config.text,
            config.picture,
            config.image,
            config.data,
            low,
            pretrained,
        )

    return part(one) == part(other)


def same_experts(one: Config, other: Config) -> bool:
    """Whether stage 1 comes out the same: the two differ at most in what stage 2 alone has."""

    def part(config: Config) -> object:
        later = {"history", "gate", "coclick"}
        how = {"checkpoint_minutes": True, "prefetch": True}
        return config.model_dump(exclude={"stage2": True, "switches": later, **how})

    return alike(one, other) and part(one) == part(other)


def reuse(donor: Path, out: Path, *, experts: bool = False) -> None:
    """Link the files of a finished, `alike` run into a new run's folder; those that are there already stay.

    With ``experts`` the trained experts as well, where `same_experts` allows it.
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
