"""Pictures to pixels."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from artifacts.bundle import PictureError, decode_picture


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from(["PNG", "JPEG"]))
def test_any_size_becomes_a_square(width: int, height: int, kind: str) -> None:
    pixels = decode_picture(encoded(Image.new("RGB", (width, height), (200, 30, 30)), kind), 32)
    assert pixels.shape == (32, 32, 3)
    assert pixels.dtype == np.uint8
    coloured = (np.abs(pixels.astype(int) - (200, 30, 30)) < 12).all(axis=2)
    # JPEG is decoded at an eighth, a quarter or half its size, which rounds once more.
    for axis, side in ((0, width), (1, height)):
        assert abs(coloured.any(axis=axis).sum() - max(1, side * 32 / max(width, height))) <= 1
    if width >= 2 * height:
        assert (pixels[0] == 255).all(), "what is left over is white"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16", "CMYK"])
def test_every_mode_is_read(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    assert decode_picture(encoded(Image.new(mode, (20, 10)), kind), 16).shape == (16, 16, 3)


def test_transparent_is_white() -> None:
    assert (decode_picture(encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 0))), 8) == 255).all()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_picture_or_a_clear_error(data: bytes) -> None:
    with pytest.raises(PictureError, match=r"JPEG|PNG"):
        decode_picture(data, 16)


@given(st.integers(0, 400), st.integers(0, 255), st.sampled_from(["PNG", "JPEG"]))
def test_damage_is_an_error_or_a_picture_never_a_crash(place: int, byte: int, kind: str) -> None:
    data = bytearray(encoded(Image.effect_noise((24, 24), 80).convert("RGB"), kind))
    data[place % len(data)] = byte
    for damaged in (bytes(data), bytes(data[: len(data) // 2])):
        with contextlib.suppress(PictureError):
            assert decode_picture(damaged, 16).shape == (16, 16, 3)


def test_other_formats_and_bombs_are_refused() -> None:
    with pytest.raises(PictureError, match="JPEG or PNG"):
        decode_picture(encoded(Image.new("RGB", (4, 4)), "GIF"), 16)
    with pytest.raises(PictureError, match="pixels"):
        decode_picture(encoded(Image.new("1", (8000, 6000))), 16)
