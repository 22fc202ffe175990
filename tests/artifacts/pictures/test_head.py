"""What a file says of itself, and the bounds on what decoding it may cost."""

from __future__ import annotations

import contextlib
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from artifacts.pictures.head import MAX_SCANS, PictureError, read_head
from devtools.pictures import blank_png, chunk, encoded, many_scans


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(["PNG", "JPEG"]), st.booleans())
def test_sides_are_those_that_the_decoder_finds(
    width: int, height: int, kind: str, progressive: bool
) -> None:
    options = {"progressive": progressive} if kind == "JPEG" else {}
    head = read_head(encoded(Image.new("RGB", (width, height)), kind, **options))
    assert (head.format, head.width, head.height, head.pixels) == (kind, width, height, width * height)


@pytest.mark.parametrize("size", [(1, 100_000), (20_000_000, 1), (8193, 1)])
def test_a_longer_side_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(PictureError, match="a side is over 8192"):
        read_head(blank_png(*size))


def test_too_many_pixels_are_refused() -> None:
    with pytest.raises(PictureError, match="6400 x 6400 pixels is over 40000000"):
        read_head(blank_png(6400, 6400, 0, 1))


def test_scans_are_counted() -> None:
    assert read_head(many_scans(64, 80)).width == 64
    with pytest.raises(PictureError, match=f"scans are over {MAX_SCANS}"):
        read_head(many_scans(64, 60_000))


def test_many_scans_of_many_pixels_are_refused() -> None:
    with pytest.raises(PictureError, match=r"in .* scans are over"):
        read_head(many_scans(3200, 85))


def test_chunks_and_segments_are_counted() -> None:
    png, jpeg = blank_png(8, 8), encoded(Image.new("RGB", (8, 8)), "JPEG")
    with pytest.raises(PictureError, match="chunks"):
        read_head(png[:33] + chunk(b"tEXt", b"a\0b") * 20_000 + png[33:])
    with pytest.raises(PictureError, match="segments"):
        read_head(jpeg[:2] + b"\xff\xfe\0\x02" * 500_000 + jpeg[2:])


def test_more_than_one_colour_profile_is_refused() -> None:
    png, profile = blank_png(8, 8), chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1000)))
    assert read_head(png[:33] + profile + png[33:]).width == 8
    with pytest.raises(PictureError, match="2 colour profiles"):
        read_head(png[:33] + profile * 2 + png[33:])


def test_work_counts_scans_and_what_is_beside_the_pixels() -> None:
    png, jpeg = blank_png(100, 100), encoded(Image.new("RGB", (100, 100)), "JPEG")
    assert 10_000 <= read_head(png).work < 11_000
    assert read_head(png[:33] + chunk(b"eXIf", bytes(300_000)) + png[33:]).work > 4_000_000
    assert read_head(jpeg[:2] + b"\xff\xe1\xff\xff" + bytes(65_533) + jpeg[2:]).work > 1_000_000
    assert read_head(many_scans(640, 60)).work > 5 * read_head(many_scans(640, 2)).work


@pytest.mark.parametrize("frame", [0xC3, 0xC9, 0xCA])
def test_jpegs_that_hardly_anybody_writes_are_refused(frame: int) -> None:
    data = encoded(Image.new("RGB", (8, 8)), "JPEG")
    with pytest.raises(PictureError, match="expected baseline or progressive"):
        read_head(data.replace(b"\xff\xc0", bytes((0xFF, frame)), 1))


def test_fill_bytes_between_segments_are_read() -> None:
    data = encoded(Image.new("RGB", (8, 8)), "JPEG")
    assert read_head(data[:2] + b"\xff" * 9 + data[2:]).width == 8


@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=300).map(lambda data: b"\xff\xd8\xff" + data),
        st.binary(max_size=300).map(lambda data: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + data),
    )
)
def test_any_bytes_have_a_head_or_are_refused(data: bytes) -> None:
    with contextlib.suppress(PictureError):
        assert read_head(data).pixels > 0


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff" * 2_000_000,
        b"\xff\xd8\xff" + b"\0" * 2_000_000,
        b"\xff\xd8" + b"\xff\xfe\0\x02" * 500_000,
        b"\xff\xd8" + b"\xff\x01" * 1_000_000,
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(2_000_000),
    ],
)
def test_two_million_bytes_cost_little_time(data: bytes) -> None:
    """CPU time; a decoder that walks over them byte by byte takes a second."""
    start = time.thread_time()
    with pytest.raises(PictureError):
        read_head(data)
    assert time.thread_time() - start < 0.3
