"""A query's picture: base64 to a file, a file to pixels."""

from __future__ import annotations

import base64
import binascii
import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from artifacts.bundle.pictures import FORMATS, PictureError, decode_picture
from artifacts.cache.keys import picture_digest


@dataclass(frozen=True, slots=True)
class QueryPicture:
    """A picture's file and its digest, part of the cache key."""

    data: bytes
    digest: bytes


def parse_picture(text: str, *, max_bytes: int, max_pixels: int) -> QueryPicture:
    """Decode base64 and look at the picture's head, without decoding its pixels.

    Raises:
        PictureError: not base64, not a JPEG or PNG, too many bytes or pixels.
    """
    if len(text) > _base64_length(max_bytes):
        raise PictureError(_too_large(3 * len(text) // 4, max_bytes))
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PictureError("not base64 (a plain base64 string, no data: address)") from error
    if len(data) > max_bytes:
        raise PictureError(_too_large(len(data), max_bytes))
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureError("not a JPEG or PNG") from error
    if width * height > max_pixels:
        raise PictureError(f"{width} x {height} pixels is over {max_pixels}")
    return QueryPicture(data, picture_digest(data))


def picture_pixels(picture: QueryPicture, side: int) -> npt.NDArray[np.uint8]:
    """Pixels uint8 ``[side, side, 3]``.

    Raises:
        PictureError: the picture is damaged.
    """
    return decode_picture(picture.data, side)


def _too_large(size: int, limit: int) -> str:
    return f"{size} bytes is over {limit} (limits.picture_bytes)"


def _base64_length(size: int) -> int:
    return 4 * ((size + 2) // 3)
