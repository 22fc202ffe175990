"""Picture files: photos, and what no encoder writes, cheap to send and dear to decode."""

from __future__ import annotations

import io
import re
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """A picture's file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def photo(side: int, seed: int = 0) -> bytes:
    """A square JPEG with as much in it as a photo has."""
    chance = np.random.default_rng(seed)
    coarse = Image.fromarray(chance.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return encoded(coarse.resize((side, side), Image.Resampling.BICUBIC), "JPEG", quality=85)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def blank_png(width: int, height: int, colours: int = 6, bits: int = 8) -> bytes:
    """A PNG of zeros, some kB for any size; ``colours`` is PNG's colour type."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colours]
    row = bytes(1 + (width * channels * bits + 7) // 8)
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def many_scans(side: int, scans: int) -> bytes:
    """A progressive grey JPEG whose first scan stands there ``scans`` times more."""
    data = encoded(Image.new("L", (side, side), 90), "JPEG", progressive=True)
    start = data.index(b"\xff\xda")
    found = _MARKER.search(data, start + 2)
    assert found is not None
    return data[:start] + data[start : found.start()] * scans + data[start:]
