"""Filters as YQL. Values are written as literals that cannot end early; nothing is pasted raw."""

from __future__ import annotations

from collections.abc import Iterable

from index.filters import AnyOf, Filter, Not, Range
from index.vespa import names
from index.vespa.text import storable

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 _-.,:;+=/>")


def string_literal(value: str) -> str:
    r"""A double-quoted YQL string; anything but plain ASCII is written as ``\uXXXX`` (UTF-16 units)."""
    return '"' + "".join(c if c in _PLAIN else _escape(c) for c in value) + '"'


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


def number_literal(value: float) -> str:
    """A finite number with a point, so that a whole one is not read as an integer of 32 bits."""
    mantissa, exponent, power = repr(float(value)).partition("e")
    return mantissa + ("" if "." in mantissa else ".0") + exponent + power


def where(filters: Filter) -> str:
    """The filter's clauses, joined by ``and``. `parse_filter` has checked fields and types of values."""
    return " and ".join(_clause(clause) for clause in filters.clauses)


def _clause(clause: AnyOf | Range | Not) -> str:
    if isinstance(clause, Not):
        return f"!({_clause(clause.clause)})"
    field = names.field_name(clause.field)
    if isinstance(clause, Range):
        return _range(field, clause)
    if isinstance(clause.values[0], str):
        return _any_string(field, clause.values)
    if isinstance(clause.values[0], bool):
        return _any_of(_bool(field, clause.field, value) for value in clause.values)
    return _any_of(f"{field} = {number_literal(value)}" for value in clause.values)


def _any_string(field: str, values: Iterable[str]) -> str:
    literals = list(dict.fromkeys(string_literal(storable(v)) for v in values))
    if len(literals) == 1:
        return f"{field} contains {literals[0]}"
    return f"{field} in ({', '.join(literals)})"


def _bool(field: str, attribute: str, value: object) -> str:
    if value:
        return f"{field} = true"
    # A missing bool reads false in Vespa, and must not match.
    return f"({field} = false and {names.KNOWN_BOOLS} contains {string_literal(storable(attribute))})"


def _any_of(clauses: Iterable[str]) -> str:
    parts = list(dict.fromkeys(clauses))
    return parts[0] if len(parts) == 1 else f"({' or '.join(parts)})"


def _range(field: str, bounds: Range) -> str:
    low, low_open = _tighter(bounds.gt, bounds.gte, upper=False)
    high, high_open = _tighter(bounds.lt, bounds.lte, upper=True)
    above = "" if low is None else f"{field} {'>' if low_open else '>='} {number_literal(low)}"
    below = "" if high is None else f"{field} {'<' if high_open else '<='} {number_literal(high)}"
    if low is None or high is None:
        return above or below
    if low >= high:
        # Vespa swaps bounds that are the wrong way round, and takes an open interval of one point as closed.
        return f"({above} and {below})"
    # One interval, not two half-open ones: Vespa would walk a large part of the dictionary for each.
    interval = f"range({field}, {number_literal(low)}, {number_literal(high)})"
    sides = {(True, True): "open", (True, False): "leftOpen", (False, True): "rightOpen"}
    annotation = sides.get((low_open, high_open))
    return interval if annotation is None else f'({{bounds:"{annotation}"}}{interval})'


def _tighter(exclusive: float | None, inclusive: float | None, *, upper: bool) -> tuple[float | None, bool]:
    """The bound that cuts more, and whether it is exclusive."""
    if exclusive is None or inclusive is None:
        return (inclusive, False) if exclusive is None else (exclusive, True)
    cuts_more = exclusive <= inclusive if upper else exclusive >= inclusive
    return (exclusive, True) if cuts_more else (inclusive, False)
