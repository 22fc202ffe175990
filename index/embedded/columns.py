"""Makes the columns that filters read out of those of an items file, and values out of them again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifacts.attributes import AttributeKind
from common.arrays import I64
from index.embedded.attributes import Column, Flags, Numbers, Postings
from index.filters import terms


def attribute_column(name: str, kind: AttributeKind, values: Any) -> Column:
    """The column of an attribute.

    Args:
        name: of the attribute.
        kind: the type of its values; of category paths it is ``string``.
        values: pyarrow array in row order, null where missing.

    Raises:
        ValueError: the values are of another type.
    """
    try:
        if kind == "number":
            numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
            return Numbers(np.ascontiguousarray(numbers, dtype=np.float64))
        if kind == "bool":
            if not pa.types.is_boolean(values.type):
                raise ValueError(f"has type {values.type}, expected bool")
            return Flags(pc.fill_null(values.cast(pa.int8()), -1).to_numpy(zero_copy_only=False))
        if kind == "string":
            return _postings(name, len(values), values.cast(pa.large_string()), np.arange(len(values)))
        listed = values.cast(pa.large_list(pa.large_string()))
    except pa.ArrowInvalid as error:
        raise ValueError(f"has type {values.type}, expected {kind} ({error})") from error
    except pa.ArrowNotImplementedError as error:
        raise ValueError(f"has type {values.type}, expected {kind}") from error
    rows = pc.list_parent_indices(listed).to_numpy(zero_copy_only=False)
    return _postings(name, len(values), pc.list_flatten(listed), rows)


def column_values(column: Column, rows: I64) -> Any:
    """What some rows hold, as pyarrow values: lists of folded strings, numbers or bools, null where missing.

    It is one pass over the whole column, however few the rows.
    """
    if isinstance(column, Numbers):
        return pa.array(column.numbers[rows], from_pandas=True)
    if isinstance(column, Flags):
        flags = column.flags[rows]
        return pa.array(flags == 1, mask=flags < 0)
    place = np.full(column.total, -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    held = place[column.rows]
    terms = np.repeat(np.arange(len(column.values)), np.diff(column.offsets))[held >= 0]
    held = held[held >= 0]
    order = np.argsort(held, kind="stable")
    offsets = np.searchsorted(held[order], np.arange(len(rows) + 1))
    return pa.LargeListArray.from_arrays(pa.array(offsets), column.values.take(pa.array(terms[order])))


def _postings(name: str, total: int, texts: Any, rows: Any) -> Postings:
    """Postings of ``texts[i]``, which row ``rows[i]`` holds.

    Terms are worked out once for each distinct text: a million rows have a few thousand.
    """
    encoded = texts.dictionary_encode()
    found = [terms(name, text) for text in encoded.dictionary.to_pylist()]
    values = sorted({term for each in found for term in each})
    number = {term: place for place, term in enumerate(values)}
    flat = np.array([number[term] for each in found for term in each], dtype=np.int64)
    lengths = np.array([len(each) for each in found], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths

    present = encoded.indices.is_valid().to_numpy(zero_copy_only=False)
    codes = pc.fill_null(encoded.indices, 0).to_numpy(zero_copy_only=False)[present]
    counts = lengths[codes]
    # Position of each (row, term) pair in `flat`: the text's start plus 0, 1, … for its terms.
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    pair_terms = flat[np.repeat(starts[codes], counts) + within]
    pair_rows = np.repeat(rows[present].astype(np.int64), counts)
    # One sort gives terms in order, rows in order within a term, and drops repeats within a list.
    pairs = np.unique(pair_terms * total + pair_rows)
    offsets = np.searchsorted(pairs, np.arange(len(values) + 1) * total)
    return Postings(
        total, pa.array(values, pa.large_string()), offsets.astype(np.int64), (pairs % total).astype(np.int32)
    )
