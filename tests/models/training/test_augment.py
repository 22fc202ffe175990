"""Noise that training adds."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.towers import Config
from models.towers.image_encoder import as_float
from models.training.augment import augment, typo


@given(st.text(min_size=1), st.integers(0, 1000))
def test_a_typo_changes_one_word_at_most(query: str, seed: int) -> None:
    slipped = typo(query, np.random.default_rng(seed))
    before, after = query.split(" "), slipped.split(" ")
    assert len(before) == len(after)
    assert sum(a != b for a, b in zip(before, after, strict=True)) <= 1
    assert len(slipped) - len(query) in (-1, 0, 1)


def test_augmentation_keeps_range_and_white_borders(config: Config) -> None:
    white = torch.full((8, 32, 32, 3), 255, dtype=torch.uint8)
    strong = config.image.model_copy(update={"colour": 0.0, "hue": 0.0, "crop": 0.5, "rotate": 30.0})
    out = augment(as_float(white), strong, torch.Generator().manual_seed(0))
    torch.testing.assert_close(out, torch.ones_like(out))
    noise = torch.randint(0, 256, (8, 32, 32, 3), dtype=torch.uint8)
    bright = config.image.model_copy(update={"colour": 0.5, "hue": 0.2})
    first, second = (augment(as_float(noise), bright, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.min() >= -1
    assert first.max() <= 1
