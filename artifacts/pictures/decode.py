"""Picture files to letterboxed RGB, with Pillow alone."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from artifacts.pictures.head import PictureError, read_head

#: Accepted formats; Pillow's other decoders are not used, to keep the attack surface small.
FORMATS = ("JPEG", "PNG")
#: What Pillow raises on damaged files; struct.error comes by way of SyntaxError.
_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, OverflowError, Warning, Image.DecompressionBombError)
#: Pixels that are laid on white at once: a whole large picture would need its memory three times over.
_STRIP_PIXELS = 1 << 20
#: Orientation in the EXIF data, and how a picture that has it is turned upright.
_ORIENTATION = 0x0112
#: Bytes of EXIF data that are read: a JPEG cannot have more in one piece.
_MAX_EXIF = 1 << 16
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: A level of 16 bits as one of 8, rounded.
_TO_8_BITS = [(level + 128) // 257 for level in range(65_536)]


def decode_rgb(data: bytes, side: int) -> bytes:
    """Decode a JPEG or PNG to RGB, upright, letterboxed on white: the bytes of uint8 ``[side, side, 3]``.

    Raises:
        PictureError: not a JPEG or PNG, damaged, or over a bound of `artifacts.pictures.head`.
    """
    head = read_head(data)
    with _damage_told(head.format), Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if image.format != head.format or image.size != (head.width, head.height):
            raise PictureError(f"damaged {head.format}: its head says two things")
        if image.format == "JPEG":
            image.draft("RGB", (side, side))
        return _letterbox(image, side).tobytes()


@contextmanager
def _damage_told(kind: str) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError(f"damaged {kind}: it is not what it begins like") from error
    except _DAMAGED as error:
        raise PictureError(f"damaged {kind}: {error}") from error


def _letterbox(image: Image.Image, side: int) -> Image.Image:
    image.load()
    turn = _UPRIGHT.get(_orientation(image))
    if image.mode.startswith("I"):  # grey of 16 bits, which Pillow would cut off at 255
        image = image.convert("I").point(_TO_8_BITS, "L")
        image.info.pop("transparency", None)  # a level of 16 bits
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = _on_white(image)
    if image.mode != "RGB":  # to what it is already would be a copy
        image = image.convert("RGB")
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    image = image.resize(size, Image.Resampling.BILINEAR)
    if turn is not None:  # the small picture: the same result for less work
        image = image.transpose(turn)
    canvas = Image.new("RGB", (side, side), (255, 255, 255))
    canvas.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return canvas


def _orientation(image: Image.Image) -> int:
    """The orientation, as phones note it; 1 where there is none or where the EXIF data are damaged."""
    if len(image.info.get("exif", b"")) > _MAX_EXIF:
        return 1
    try:
        found = image.getexif().get(_ORIENTATION, 1)
        return found if isinstance(found, int) else 1
    except Exception:  # damaged EXIF data raise whatever they hit, and the pixels are whole
        return 1


def _on_white(image: Image.Image) -> Image.Image:
    """A picture with transparency on white, a strip at a time."""
    canvas = Image.new("RGB", image.size)
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(image.height, top + rows))
        strip = image.crop(box)
        strip = strip.convert("RGBA")
        ground = Image.new("RGBA", strip.size, (255, 255, 255, 255))
        canvas.paste(Image.alpha_composite(ground, strip).convert("RGB"), box)
    return canvas
