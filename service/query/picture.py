"""A query's picture: base64 to a file. What decodes it is in `service.query.decoder`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from artifacts.cache.keys import picture_digest
from artifacts.pictures.head import PictureError, read_head
from service.errors import FieldError


@dataclass(frozen=True, slots=True)
class QueryPicture:
    """A picture's file, its digest, part of the cache key, and the `PictureHead.work` of decoding it."""

    data: bytes
    digest: bytes
    work: int = 0


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
    return QueryPicture(data, picture_digest(data), head.work)


@contextmanager
def _told_as_field() -> Iterator[None]:
    """The one place where what is wrong with a picture becomes an error of the request's field."""
    try:
        yield
    except PictureError as error:
        raise FieldError("picture", str(error)) from error


def _too_large(size: int, limit: int) -> str:
    return f"{size} bytes is over {limit} (limits.picture_bytes)"
