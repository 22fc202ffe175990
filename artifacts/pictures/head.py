"""What a picture file says of itself, read without a decoder, and the bounds on what decoding it may cost.

Every bound holds for training as for serving, so that a picture that was learnt from can be searched with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from common.errors import MrseError

#: Longest side in pixels. Decoders work row by row: one row of 20 million pixels holds them for seconds.
MAX_SIDE = 8192
MAX_PIXELS = 40_000_000
#: Scans of a JPEG. Encoders make 10 of a progressive one; each scan walks over all its pixels once more.
MAX_SCANS = 100
#: Pixels of a JPEG with several scans, times its scans: the walks over them, some seconds at the most.
MAX_SCANNED = 400_000_000
#: Segments of a JPEG before its pixels, and chunks of a PNG: each is a step of the interpreter.
MAX_SEGMENTS, MAX_CHUNKS = 1000, 16_384

_WORK_BESIDE = 16

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_NO_FILL = re.compile(rb"[^\xff]")
_SOS, _EOI = 0xDA, 0xD9
#: Baseline, extended and progressive, all with Huffman codes: what encoders write and Pillow reads.
_FRAMES = (0xC0, 0xC1, 0xC2)
#: Other frames: lossless, differential, arithmetic.
_OTHER_FRAMES = (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
#: Markers without a length: TEM and the restarts.
_BARE = (0x01, *range(0xD0, 0xD8))


class PictureError(MrseError, ValueError):
    """The bytes are no picture that can be used; the message says why."""


@dataclass(frozen=True, slots=True)
class PictureHead:
    """Format, sides in pixels, bytes beside the pixels, and the most scans that a JPEG can have."""

    format: Literal["JPEG", "PNG"]
    width: int
    height: int
    beside: int = 0
    scans: int = 1

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height

    @property
    def work(self) -> int:
        """How long decoding may take, in pixels of a PNG, some 25 ns each.

        A pixel of a JPEG takes a quarter of that in each scan; a byte of texts, profiles and the like, which
        may be packed, more.
        """
        pixels = self.pixels if self.format == "PNG" else self.pixels * self.scans // 4
        return pixels + _WORK_BESIDE * self.beside


def read_head(data: bytes) -> PictureHead:
    """Read a file's head; takes microseconds, at most milliseconds, whatever the bytes.

    Raises:
        PictureError: not a JPEG or PNG, damaged, or over a bound.
    """
    if data.startswith(_PNG):
        head = _read_png(data)
    elif data.startswith(_JPEG):
        head = _read_jpeg(data)
    else:
        raise PictureError("not a JPEG or PNG")
    if not (head.width and head.height):
        raise PictureError(f"damaged {head.format}: it has no pixels")
    if max(head.width, head.height) > MAX_SIDE:
        raise PictureError(f"{head.width} x {head.height} pixels: a side is over {MAX_SIDE}")
    if head.pixels > MAX_PIXELS:
        raise PictureError(f"{head.width} x {head.height} pixels is over {MAX_PIXELS}")
    if head.format == "JPEG":
        # More than there are where such bytes lie in other segments, such as a thumbnail's; never less.
        scans = data.count(bytes((0xFF, _SOS)))
        if scans > MAX_SCANS:
            raise PictureError(f"{scans} scans are over {MAX_SCANS}")
        if scans > 1 and scans * head.pixels > MAX_SCANNED:
            raise PictureError(f"{head.pixels} pixels in {scans} scans are over {MAX_SCANNED}")
        return replace(head, scans=max(1, scans))
    return head


def _read_png(data: bytes) -> PictureHead:
    if data[8:16] != b"\0\0\0\rIHDR" or len(data) < 33:
        raise PictureError("damaged PNG: no header")
    place, chunks, beside, profiles = len(_PNG), 0, 0, 0
    while place < len(data) and chunks <= MAX_CHUNKS:
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        beside += 0 if kind == b"IDAT" else length
        profiles += kind == b"iCCP"
        place += 12 + length
        chunks += 1
    if chunks > MAX_CHUNKS:
        raise PictureError(f"over {MAX_CHUNKS} chunks")
    if profiles > 1:  # each is unpacked
        raise PictureError(f"damaged PNG: {profiles} colour profiles")
    width, height = data[16:20], data[20:24]
    return PictureHead(
        "PNG", int.from_bytes(width, "big"), int.from_bytes(height, "big"), min(beside, len(data))
    )


def _read_jpeg(data: bytes) -> PictureHead:
    place, frame = 2, None
    for _ in range(MAX_SEGMENTS):
        if data[place : place + 1] != b"\xff":
            raise PictureError("damaged JPEG: no marker where one must be")
        behind = _NO_FILL.search(data, place)
        if behind is None:
            break
        place = behind.start() - 1  # of several FF in a row the last one begins the marker
        marker = data[place + 1]
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        if marker in _FRAMES:
            if frame is not None:
                raise PictureError("damaged JPEG: two frames")
            height, width = data[place + 5 : place + 7], data[place + 7 : place + 9]
            frame = PictureHead("JPEG", int.from_bytes(width, "big"), int.from_bytes(height, "big"))
        elif marker in _OTHER_FRAMES:
            raise PictureError("a lossless or arithmetic JPEG; expected baseline or progressive")
        elif marker == _SOS and frame is not None:
            return replace(frame, beside=place)
        elif marker in (_SOS, _EOI):
            break
        elif marker in _BARE:
            length = 0
        elif length < 2:
            break
        place += 2 + length
    else:
        raise PictureError(f"over {MAX_SEGMENTS} segments before the pixels")
    raise PictureError("damaged JPEG: no frame and scan")
