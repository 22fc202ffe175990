"""Filters as YQL. Values are written as literals that cannot end early; nothing is pasted raw."""

from __future__ import annotations

from collections.abc import Iterable

from index.filters import Condition, Filter, Range, evaluate
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
    return evaluate(filters, _condition, "!({})".format, "{} and {}".format)


def _condition(condition: Condition) -> str:
    field = names.field_name(condition.field)
    if isinstance(condition, Range):
        return _range(field, condition)
    if isinstance(condition.values[0], str):
        return _any_string(field, condition.values)
    if isinstance(condition.values[0], bool):
        return _any_of(_bool(field, condition.field, value) for value in condition.values)
    return _any_of(f"{field} = {number_literal(value)}" for value in condition.values)


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
    low, high = bounds.low, bounds.high
    above = "" if low is None else f"{field} {'>' if bounds.low_open else '>='} {number_literal(low)}"
    below = "" if high is None else f"{field} {'<' if bounds.high_open else '<='} {number_literal(high)}"
    if low is None or high is None:
        return above or below
    if low >= high:
        # Vespa swaps bounds that are the wrong way round, and takes an open interval of one point as closed.
        return f"({above} and {below})"
    # One interval, not two half-open ones: Vespa would walk a large part of the dictionary for each.
    interval = f"range({field}, {number_literal(low)}, {number_literal(high)})"
    sides = {(True, True): "open", (True, False): "leftOpen", (False, True): "rightOpen"}
    annotation = sides.get((bounds.low_open, bounds.high_open))
    return interval if annotation is None else f'({{bounds:"{annotation}"}}{interval})'
