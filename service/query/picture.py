"""A query's picture: base64 to a file, a file to pixels."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from artifacts.bundle.pictures import decode_picture
from artifacts.cache.keys import picture_digest
from artifacts.pictures.head import PictureError, read_head
from common.arrays import U8
from service.errors import FieldError


@dataclass(frozen=True, slots=True)
class QueryPicture:
    """A picture's file and its digest, part of the cache key."""

    data: bytes
    digest: bytes


def parse_picture(text: str, *, max_bytes: int, max_pixels: int) -> QueryPicture:
    """Decode base64 and look at the picture's head, without decoding its pixels.

    Raises:
        FieldError: not base64, not a JPEG or PNG, too many bytes or pixels.
    """
    with _told_as_field():
        if len(text) > 4 * ((max_bytes + 2) // 3):
            raise PictureError(_too_large(3 * len(text) // 4, max_bytes))
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise PictureError("not base64 (a plain base64 string, no data: address)") from error
        if len(data) > max_bytes:
            raise PictureError(_too_large(len(data), max_bytes))
        head = read_head(data)
        if head.pixels > max_pixels:
            raise PictureError(f"{head.width} x {head.height} pixels is over {max_pixels}")
    return QueryPicture(data, picture_digest(data))


def picture_pixels(picture: QueryPicture, side: int) -> U8:
    """Pixels uint8 ``[side, side, 3]``.

    Raises:
        FieldError: the picture is damaged.
    """
    with _told_as_field():
        return decode_picture(picture.data, side)


@contextmanager
def _told_as_field() -> Iterator[None]:
    """The one place where what is wrong with a picture becomes an error of the request's field."""
    try:
        yield
    except PictureError as error:
        raise FieldError("picture", str(error)) from error


def _too_large(size: int, limit: int) -> str:
    return f"{size} bytes is over {limit} (limits.picture_bytes)"
