"""Attributes of items as Vespa answers them, in the form of the port.

Vespa leaves a missing string, number or list out, and reads a missing bool as false: `names.KNOWN_BOOLS` says
which bools an item has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from artifacts.attributes import CATEGORY, AttributeKind
from common.arrays import F16
from index.port import StoredValues
from index.vespa import names
from index.vespa.answer import Answer
from index.vespa.errors import NoCoverage, VespaError
from index.vespa.tensors import parse_float16_hex
from index.vespa.text import folded_of, storable


def stored_values(
    answer: Answer, asked: Sequence[str], attributes: Sequence[str], kinds: Mapping[str, AttributeKind]
) -> StoredValues:
    """Attributes in the order asked; what coverage they have counts only where an item is missing.

    Raises:
        VespaError: a hit without its fields.
    """
    try:
        found = {hit["fields"][names.ITEM_ID]: hit["fields"] for hit in answer.hits}
        ids = [item for item in dict.fromkeys(asked) if item in found]
        values = {name: [_value(name, kinds[name], found[item]) for item in ids] for name in attributes}
    except (KeyError, TypeError, ValueError) as error:
        raise VespaError("bad_answer", "a hit without its fields") from error
    if len(ids) == len(set(asked)):
        return StoredValues(ids, values)
    return StoredValues(ids, values, answer.coverage, answer.degraded)


def stored_features(answer: Answer, asked: Sequence[str], shape: tuple[int, int]) -> tuple[list[str], F16]:
    """The ids that have features, in the order asked, and these ``[n, E, d]``.

    Raises:
        VespaError: a hit without its id, or features of another size; or nothing was found where a part of
            the index was not looked at.
    """
    try:
        found = {
            hit["fields"][names.ITEM_ID]: parse_float16_hex(digits, shape)
            for hit in answer.hits
            if (digits := hit["fields"].get(names.FEATURES)) is not None
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise VespaError("bad_answer", "a hit without its fields") from error
    ids = [item for item in dict.fromkeys(asked) if item in found]
    if not ids and asked and answer.coverage < 1:
        raise NoCoverage("no_coverage", f"only {answer.coverage:.0%} of the items were looked at")
    return ids, np.stack([found[item] for item in ids]) if ids else np.zeros((0, *shape), np.float16)


def stored_titles(answer: Answer) -> dict[str, str]:
    """Titles by id, without items that have none.

    Raises:
        VespaError: a hit without its id.
    """
    try:
        found = {hit["fields"][names.ITEM_ID]: hit["fields"].get(names.TITLE) for hit in answer.hits}
    except (KeyError, TypeError, AttributeError) as error:
        raise VespaError("bad_answer", "a hit without its fields") from error
    return {item: folded_of(title) for item, title in found.items() if isinstance(title, str) and title}


def _value(name: str, kind: AttributeKind, fields: Mapping[str, Any]) -> Any:
    value = fields.get(names.field_name(name))
    if kind == "bool":
        return bool(value) if storable(name) in _names(fields.get(names.KNOWN_BOOLS)) else None
    if value is None or value in ("", []):
        return None
    if kind == "number":
        return None if value != value else float(value)
    if kind == "string":
        return folded_of(value)
    if name == CATEGORY:  # the longest prefix is the path
        return max(map(folded_of, value), key=len)
    return sorted(set(map(folded_of, value)))


def _names(weighted: Any) -> set[str]:
    """The keys of a weighted set, in any of the forms that renderers of Vespa write it in."""
    if isinstance(weighted, Mapping):
        return set(weighted)
    return {entry if isinstance(entry, str) else entry["item"] for entry in weighted or ()}
