"""Pictures: repeatable, and different where the look is."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from models.synthetic import lexicon
from models.synthetic.pictures import QUERY_VARIANT, SIDES, Look, draw_picture
from models.synthetic.silhouettes import silhouettes


def pixels(look: Look, variant: int = 0, seed: int = 7) -> npt.NDArray[np.float64]:
    with Image.open(io.BytesIO(draw_picture(look, variant, seed))) as image:
        return np.asarray(image.convert("RGB").resize((64, 64)), dtype=np.float64)


def test_there_is_a_shape_for_each_category() -> None:
    assert len(silhouettes()) == len(lexicon.CATEGORIES)
    for shape in silhouettes():
        assert any(role == "body" for role, _ in shape.parts)
        assert all(-0.05 <= c <= 1.05 for _, points in shape.parts for point in points for c in point)


@pytest.mark.parametrize("category", range(len(lexicon.CATEGORIES)))
def test_every_look_can_be_drawn(category: int) -> None:
    for pattern in range(len(lexicon.PATTERNS)):
        for logo in range(len(lexicon.LOGOS)):
            look = Look(category, (pattern + logo) % len(lexicon.COLOURS), pattern, logo)
            with Image.open(io.BytesIO(draw_picture(look, QUERY_VARIANT if logo % 2 else 1, 3))) as image:
                assert image.size in {(side, side) for side in SIDES}


def test_same_arguments_same_bytes_other_variant_other_bytes() -> None:
    look = Look(8, 5, 1, 2)
    assert draw_picture(look, 1, 7) == draw_picture(look, 1, 7)
    different = {draw_picture(look, variant, seed) for variant in range(4) for seed in (7, 8)}
    assert len(different) == 8


@pytest.mark.parametrize("colour", range(len(lexicon.COLOURS)))
def test_plain_pictures_show_their_colour(colour: int) -> None:
    """Cushions fill the middle: their colour is nearest to that of other plain cushions of the same name."""
    middle = [
        np.mean([pixels(Look(14, other, 0, 0), v)[24:40, 24:40].mean((0, 1)) for v in range(4)], axis=0)
        for other in range(len(lexicon.COLOURS))
    ]
    photo = pixels(Look(14, colour, 0, 0), QUERY_VARIANT)[24:40, 24:40].mean((0, 1))
    assert int(np.argmin([np.abs(photo - mean).sum() for mean in middle])) == colour


def test_patterns_and_logos_change_the_product() -> None:
    plain = np.std(pixels(Look(14, 5, 0, 0))[16:48, 16:48].mean(2))
    for pattern in range(1, len(lexicon.PATTERNS)):
        assert np.std(pixels(Look(14, 5, pattern, 0))[16:48, 16:48].mean(2)) > plain + 15
    for logo in range(1, len(lexicon.LOGOS)):
        middle = pixels(Look(14, 5, 0, logo))[22:42, 22:42]
        assert middle.min() < 60
        assert middle.max() > 230
