"""Vectors in hex: what Vespa reads is what was meant, to the bit."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from index.vespa.tensors import (
    bfloat16,
    bfloat16_hex,
    float_hex,
    from_bfloat16,
    int8_hex,
    int8_rows,
    parse_bfloat16_hex,
    unit_rows,
)

cells = st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**127), max_value=2.0**127)
rows = hnp.arrays(np.float32, st.tuples(st.integers(0, 5), st.integers(1, 130)), elements=cells)


@given(rows)
def test_bfloat16_is_the_nearest_and_ties_go_to_even(values: np.ndarray) -> None:
    expected = values.astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(bfloat16(values), expected.view(np.uint16))
    np.testing.assert_array_equal(from_bfloat16(bfloat16(values)), expected.astype(np.float32))


def test_every_bfloat16_survives() -> None:
    bits = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16)
    finite = bits[(bits & 0x7F80) != 0x7F80]
    np.testing.assert_array_equal(bfloat16(from_bfloat16(finite)), finite)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3.4e38])
def test_no_bfloat16_that_is_not_finite(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        bfloat16(np.array([[0.0, value]], dtype=np.float32))


@given(rows)
def test_document_tensors_come_back_as_they_were_rounded(values: np.ndarray) -> None:
    digits = [bfloat16_hex(row) for row in values]
    assert [len(each) for each in digits] == [4 * values.shape[1]] * len(values)
    for each, row in zip(digits, values, strict=True):
        np.testing.assert_array_equal(
            parse_bfloat16_hex(each, values.shape[1]), row.astype(ml_dtypes.bfloat16).astype(np.float32)
        )


@given(hnp.arrays(np.float32, st.integers(0, 130), elements=cells))
def test_query_tensors_are_big_endian_cells(vector: np.ndarray) -> None:
    digits = float_hex(vector)
    assert len(digits) == 8 * len(vector)
    np.testing.assert_array_equal(np.frombuffer(bytes.fromhex(digits), ">f4"), vector)


def test_int8_uses_its_whole_range_and_keeps_the_direction() -> None:
    rows = unit_rows(np.random.default_rng(0).standard_normal((200, 128)))
    coarse = int8_rows(rows)
    assert (np.abs(coarse.astype(int)).max(axis=1) == 127).all()
    kept = unit_rows(coarse.astype(np.float32))
    cosines = rows @ rows.T
    # Uniform errors of half a step, 0.3 / 127 where the largest cell is 0.3, over 128 cells.
    assert np.abs(kept @ rows.T - cosines).std() < 0.001
    assert len(int8_hex(rows[0])) == 256
    assert int8_hex(np.array([0.5, -1.0, 0.25], np.float32)) == "40" + "81" + "20"
    for wrong in (np.zeros(2, np.float32), np.array([np.nan, 1.0], np.float32)):
        with pytest.raises(ValueError, match="no int8"):
            int8_hex(wrong)


def test_widths_that_vespa_would_misread_are_not_ours() -> None:
    vector = unit_rows(np.ones((1, 128), dtype=np.float32))
    assert len(float_hex(vector[0])) == 1024
    assert len(bfloat16_hex(vector[0])) == 512
    for digits in ("", "3f80" * 127, "3f80" * 64, "3f800000" * 128):
        with pytest.raises(ValueError, match="hex digits"):
            parse_bfloat16_hex(digits, 128)


@given(hnp.arrays(np.float16, (3, 128), elements=st.floats(2.0**-14, 1, width=16)))
def test_rows_are_of_unit_length_before_they_are_rounded(rows: np.ndarray) -> None:
    unit = unit_rows(rows)
    np.testing.assert_allclose(np.linalg.norm(unit.astype(np.float64), axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("row", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_rows_without_direction_are_refused(row: list[float]) -> None:
    with pytest.raises(ValueError, match="row 1"):
        unit_rows(np.array([[1.0, 0.0], row], dtype=np.float32))
