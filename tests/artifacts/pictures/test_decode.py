"""Upright, with all levels of grey, in bounded memory."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artifacts.bundle.pictures import decode_picture
from artifacts.pictures.decode import decode_rgb
from devtools.pictures import blank_png, chunk, encoded

#: How a viewer turns the stored pixels for each orientation of EXIF.
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}


def corners() -> Image.Image:
    """Wider than high, each corner another colour."""
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:16, :32], pixels[:16, 32:], pixels[16:, :32] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", TURNS)
def test_a_phones_photo_stands_upright(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    seen = decode_picture(encoded(corners(), kind, exif=exif), 64).astype(int)
    upright = Image.fromarray(np.ascontiguousarray(TURNS[orientation](np.asarray(corners()))))
    assert np.abs(seen - decode_picture(encoded(upright, kind), 64)).mean() < 4


def test_damaged_exif_data_are_no_damage() -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\x03\0\0\0\x01\xff\xff\0\0" * 20
    seen = decode_picture(encoded(corners(), "JPEG", exif=exif), 64)
    assert np.array_equal(seen, decode_picture(encoded(corners(), "JPEG"), 64))


def test_exif_data_of_megabytes_are_not_read() -> None:
    entry = struct.pack(">HHII", 0x0112, 5, 150_000, 26)
    exif = b"MM\0*\0\0\0\x08\0\x01" + entry + bytes(4) + b"\1" * 1_200_000
    png = blank_png(8, 8)
    start = time.thread_time()
    decode_picture(png[:33] + chunk(b"eXIf", exif) + png[33:], 8)
    assert time.thread_time() - start < 0.3


def test_grey_of_16_bits_keeps_its_levels() -> None:
    levels = np.linspace(0, 65535, 256, dtype=np.uint16)[None].repeat(256, axis=0)
    seen = decode_picture(encoded(Image.fromarray(levels)), 256)
    assert np.abs(seen[..., 0].astype(int) - np.arange(256)).max() <= 1


def test_transparency_of_a_large_picture_is_as_of_a_small_one() -> None:
    """Laid on white strip by strip: a seam would show as a row of another colour."""
    levels = np.tile(np.arange(256, dtype=np.uint8), (3000, 4))
    image = Image.fromarray(np.dstack([levels, levels // 2, 255 - levels, levels]), "RGBA")
    seen = decode_picture(encoded(image, compress_level=1), 128)
    columns = seen[:, :, :].astype(int)
    inside = columns[:, (columns != 255).any(axis=(0, 2))]
    assert np.abs(inside - inside[64]).max() <= 1


@pytest.mark.skipif(sys.platform != "linux", reason="counts as Linux does")
@pytest.mark.parametrize(("colours", "bits"), [(6, 8), (0, 16), (3, 8)])
def test_a_picture_of_78_kb_takes_bounded_memory(tmp_path: Path, colours: int, bits: int) -> None:
    if colours == 3:
        data = encoded(Image.new("P", (4472, 4472)), transparency=0)
    else:
        data = blank_png(4472, 4472, colours, bits)
    (tmp_path / "picture").write_bytes(data)
    code = (
        "import resource, sys; from artifacts.pictures.decode import decode_rgb; used = lambda: "
        "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; before = used(); "
        "decode_rgb(open(sys.argv[1], 'rb').read(), 64); print((used() - before) // 1024)"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "picture")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    megabytes = int(subprocess.run(run, env=environment, check=True, capture_output=True).stdout)
    assert megabytes < 220


def test_neither_numpy_nor_the_service_is_loaded() -> None:
    code = "import artifacts.pictures.decode, sys; print(*(set(sys.argv) & sys.modules.keys()))"
    run = [sys.executable, "-c", code, "numpy", "pydantic", "tokenizers", "service", "onnxruntime", "fastapi"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert not subprocess.run(run, env=environment, check=True, capture_output=True).stdout.split()


def test_the_service_does_not_load_the_decoder() -> None:
    code = "import service.app, sys; print(*(name for name in sys.modules if name.startswith('PIL')))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    run = [sys.executable, "-c", code]
    assert not subprocess.run(run, env=environment, check=True, capture_output=True).stdout.split()


def test_as_bytes_and_as_an_array() -> None:
    data = encoded(corners())
    assert decode_picture(data, 16).tobytes() == decode_rgb(data, 16)
