"""Pictures to pixels, as arrays; how is in `artifacts.pictures`."""

from __future__ import annotations

import numpy as np

from artifacts.pictures.head import PictureError
from common.arrays import U8

__all__ = ["PictureError", "as_pixels", "decode_picture"]


def decode_picture(data: bytes, side: int) -> U8:
    """Decode a JPEG or PNG to RGB, upright, letterboxed on white: uint8 ``[side, side, 3]``.

    Raises:
        PictureError: not a JPEG or PNG, damaged, or over a bound of `artifacts.pictures.head`.
    """
    from artifacts.pictures.decode import decode_rgb  # here, for a service decodes in other processes

    return as_pixels(decode_rgb(data, side), side)


def as_pixels(rgb: bytes, side: int) -> U8:
    """The bytes that `decode_rgb` gives, as uint8 ``[side, side, 3]``."""
    return np.frombuffer(rgb, dtype=np.uint8).reshape(side, side, 3)
