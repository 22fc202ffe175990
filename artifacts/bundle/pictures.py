"""Pictures to pixels: the one decoder that training, embedding and serving share."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from common.arrays import U8
from common.errors import MrseError

#: Accepted formats; Pillow's other decoders are not used, to keep the attack surface small.
FORMATS = ("JPEG", "PNG")
MAX_PIXELS = 40_000_000
#: What Pillow raises on damaged files; struct.error comes by way of SyntaxError.
_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, Warning, Image.DecompressionBombError)


class PictureError(MrseError, ValueError):
    """The bytes are no picture that can be used; the message says why."""


def picture_size(data: bytes) -> tuple[int, int]:
    """Width and height of a JPEG or PNG in pixels, from its head.

    Raises:
        PictureError: not a JPEG or PNG.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return image.size
    except _DAMAGED as error:
        raise PictureError("not a JPEG or PNG") from error


def decode_picture(data: bytes, side: int) -> U8:
    """Decode a JPEG or PNG to RGB, letterboxed on white: uint8 ``[side, side, 3]``.

    Raises:
        PictureError: not a JPEG or PNG, damaged, or over 40 million pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise PictureError(f"{image.width} x {image.height} pixels is over {MAX_PIXELS}")
                if image.format == "JPEG":
                    image.draft("RGB", (side, side))
                return _letterbox(image, side)
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError("not a JPEG or PNG") from error
    except _DAMAGED as error:
        raise PictureError(f"damaged picture: {error}") from error


def _letterbox(image: Image.Image, side: int) -> U8:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(ground, image)
    image = image.convert("RGB")
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    image = image.resize(size, Image.Resampling.BILINEAR)
    canvas = Image.new("RGB", (side, side), (255, 255, 255))
    canvas.paste(image, ((side - size[0]) // 2, (side - size[1]) // 2))
    return np.asarray(canvas, dtype=np.uint8)
