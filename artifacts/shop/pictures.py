"""Reads the files of a shop's pictures folder: what is wrong with one is told the same way everywhere."""

from __future__ import annotations

from pathlib import Path

from artifacts.bundle.pictures import PictureError, decode_picture
from artifacts.shop import values
from artifacts.shop.errors import DataError
from common.arrays import U8
from common.files import OutsideError, inside, read_bounded

#: The code of a picture that is missing because its folder is, and what to do then.
NO_PICTURES = "no-pictures-folder"
MAKE_PICTURES = "make it or name another under [files] pictures in shop.toml"
#: A larger file is not read: no photo is, and one that was put there in error may fill the memory.
MAX_PICTURE_BYTES = 64 << 20


def read_picture(folder: Path, relative: str) -> bytes:
    """The bytes of the file ``relative`` below ``folder``; raises `DataError` as `Shop.picture` does."""
    path = folder / relative
    try:
        values.picture(relative)
        return read_bounded(inside(folder, relative), MAX_PICTURE_BYTES)
    except values.InvalidValueError as fault:
        raise DataError(path, fault.message, fault.code, column="picture") from None
    except OutsideError as error:
        message = f"is {values.shown(relative)}, which {error}, expected a path inside the pictures folder"
        raise DataError(path, message, "picture-path", column="picture") from None
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        if not folder.is_dir():
            raise DataError(folder, f"there is no such folder; {MAKE_PICTURES}", NO_PICTURES) from None
        message = f"is {values.shown(relative)}, but the pictures folder has no such file"
        raise DataError(path, message, "missing-picture", column="picture") from None
    except OSError as error:
        message = f"is {values.shown(relative)}, which cannot be read: {error.strerror}"
        raise DataError(path, message, "missing-picture", column="picture") from None


def read_pixels(folder: Path, relative: str, side: int) -> U8:
    """The pixels uint8 ``[side, side, 3]`` of the picture ``relative`` below ``folder``.

    Raises:
        DataError: as `Shop.picture`, or the file is no picture that can be used.
    """
    try:
        return decode_picture(read_picture(folder, relative), side)
    except PictureError as error:
        shown = values.shown(relative)
        message = f"is {shown}, which is no usable picture: {error}; expected JPEG or PNG"
        raise DataError(folder / relative, message, "bad-picture", column="picture") from error
