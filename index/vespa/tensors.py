"""Vectors as Vespa's hex strings, and bfloat16.

Hex is strict about length, where lists of numbers are padded with zeros without a word, and costs Vespa a
third of a list's parse time. Cells are big-endian: 8 digits a float32, 4 a bfloat16.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from common.arrays import F16, F32, I8, U16, Floats

#: How far the squared length of a query vector may be from 1.
_UNIT: Final = 0.02


def float16_hex(values: F16) -> str:
    """Float16 values of any shape as bytes, big-endian: 4 hex digits each, two cells of int8 to Vespa."""
    digits: str = values.astype(">f2").tobytes().hex()
    return digits


def parse_float16_hex(digits: str, shape: tuple[int, ...]) -> F16:
    """What `float16_hex` wrote of values of this shape.

    Raises:
        ValueError: not hex, or of another size.
    """
    return np.frombuffer(bytes.fromhex(digits), dtype=">f2").astype(np.float16).reshape(shape)


def float_hex(vector: F32) -> str:
    """A query tensor: float32 ``[dim]`` as ``8 * dim`` hex digits."""
    return vector.astype(">f4").tobytes().hex()


def bfloat16(values: F32) -> U16:
    """Bits of the nearest bfloat16 of each float32, ties to even; finite values only.

    Raises:
        ValueError: a value that is not finite, or overflows bfloat16's range.
    """
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    # Adding 0x7fff plus the lowest kept bit carries into the kept half exactly when the dropped half is
    # above one half, or at one half with an odd kept half.
    rounded: U16 = ((bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))) >> 16).astype(
        np.uint16
    )
    if ((rounded & 0x7F80) == 0x7F80).any() or not np.isfinite(values).all():
        raise ValueError("a value has no finite bfloat16")
    return rounded


def from_bfloat16(bits: U16) -> F32:
    """The float32 values of bfloat16 bits, exactly."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def bfloat16_hex(vector: F32) -> str:
    """A document tensor: float32 ``[dim]`` as ``4 * dim`` hex digits.

    Raises:
        ValueError: as `bfloat16`.
    """
    return bfloat16(vector).astype(">u2").tobytes().hex()


def int8_hex(vector: F32) -> str:
    """A vector ``[dim]`` as ``2 * dim`` hex digits: int8, the largest cell at 127.

    Its length is lost: what compares these has to divide by it, as Vespa's metric ``angular`` does.

    Raises:
        ValueError: a vector that is zero or not finite.
    """
    digits: str = int8_rows(vector[None])[0].tobytes().hex()
    return digits


def int8_rows(rows: F32) -> I8:
    """Rows ``[n, dim]`` as int8, the largest cell of each at 127 or -127.

    Raises:
        ValueError: a row that is zero or not finite.
    """
    largest = np.abs(rows).max(axis=1, keepdims=True)
    if not (np.isfinite(largest) & (largest > 0)).all():
        raise ValueError("a vector that is zero or not finite has no int8")
    scaled: I8 = np.rint(rows / largest * np.float32(127.0)).astype(np.int8)
    return scaled


def parse_bfloat16_hex(digits: str, dimension: int) -> F32:
    """A document tensor as Vespa answers it: float32 ``[dim]``.

    Raises:
        ValueError: not hex, or not ``4 * dimension`` digits.
    """
    if len(digits) != 4 * dimension:
        raise ValueError(f"{len(digits)} hex digits for {dimension} bfloat16 cells")
    return from_bfloat16(np.frombuffer(bytes.fromhex(digits), dtype=">u2").astype(np.uint16))


def unit_rows(vectors: Floats) -> F32:
    """Rows scaled to length 1 in float32.

    Vespa's closeness does not divide by the stored vector's length, so items are normalised before they
    are rounded to bfloat16.

    Raises:
        ValueError: a row that is not finite, or zero.
    """
    rows = np.asarray(vectors, dtype=np.float32)
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    if not np.isfinite(norms).all():
        raise ValueError(f"row {int(np.flatnonzero(~np.isfinite(norms))[0])} is not finite")
    if not norms.all():
        raise ValueError(f"row {int(np.flatnonzero(norms == 0)[0])} is zero and has no direction")
    return np.asarray(rows / norms[:, None], dtype=np.float32)


def check_unit(rows: F32, width: int) -> None:
    """Make sure of query vectors: finite rows of unit length ``[B, width]``.

    Vespa takes others too; their scores would be no cosines.

    Raises:
        ValueError: they are not.
    """
    if rows.ndim != 2 or rows.shape[1] != width:
        raise ValueError(f"vectors of shape {rows.shape} for an index of width {width}")
    if not (np.abs(np.einsum("ij,ij->i", rows, rows) - 1.0) <= _UNIT).all():
        raise ValueError("a vector is not finite, or not of unit length")
