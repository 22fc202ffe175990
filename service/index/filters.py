"""Filters: parsed once, checked against the index's attributes, the same for every engine.

The request's form::

    {"category": ["shoes"], "price": {"gte": 10, "lt": 80}, "in_stock": true, "brand": {"not": ["acme"]}}

All fields must hold. A value is equality, a list is any-of, an object is a range (``gt gte lt lte``,
numbers only) or a ``not`` around a value, a list or a range. On a list attribute equality and any-of ask
whether the list holds the value; ``category`` is a list of its path's prefixes (``Shoes``,
``Shoes > Running``). Strings compare without regard to case. An item without the attribute matches no
equality, any-of or range, and so does match a ``not``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class FilterError(ValueError):
    """A filter that cannot be used; ``field`` names the attribute, the message says why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The attribute equals one of the values, all of one type: casefolded str, float or bool."""

    field: str
    values: tuple[str, ...] | tuple[float, ...] | tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The number lies between the bounds; None leaves a side open."""

    field: str
    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None


@dataclass(frozen=True, slots=True)
class Not:
    """The clause does not hold."""

    clause: AnyOf | Range


@dataclass(frozen=True, slots=True)
class Filter:
    """All clauses hold. Hashable and in canonical order, so that equal filters are equal keys."""

    clauses: tuple[AnyOf | Range | Not, ...]


def parse_filter(raw: Mapping[str, object], attributes: Mapping[str, str]) -> Filter | None:
    """Check a request's filters against the attributes of the index.

    Args:
        raw: the request's ``filters`` object.
        attributes: name to ``string``, ``number``, ``bool`` or ``list``.

    Returns:
        None for no filters.

    Raises:
        FilterError: an unknown attribute, a wrong type, an empty list, an unknown operator.
    """
    raise NotImplementedError  # H-service
