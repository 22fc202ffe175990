"""What a request's filters mean, for every engine; they are parsed once, against the index's attributes.

The request's form::

    {"category": ["shoes"], "price": {"gte": 10, "lt": 80}, "in_stock": true, "brand": {"not": ["acme"]}}

All fields must hold. A value is equality, a list is any-of, an object is a range (``gt gte lt lte``,
numbers only) or a ``not`` around a value, a list or a range. On a list attribute equality and any-of ask
whether the list holds the value; ``category`` is a list of its path's prefixes (``Shoes``,
``Shoes > Running``). Strings compare as `fold` makes them: without regard to case. An item without the
attribute matches no equality, any-of or range, and so it matches every ``not``.

An engine says what each `Condition` comes to in its own terms (a mask over rows, a clause of a query), and
`evaluate` puts these together. What it stores of an item's strings are their `terms`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import islice
from types import NoneType, UnionType
from typing import Any, TypeAlias, TypeVar

import orjson

from artifacts.attributes import CATEGORY, MAX_LEVELS, too_large
from common.errors import MrseError

T = TypeVar("T")

#: Bounds on one request's filters, so that a request cannot cost more than a search: its fields, and the
#: values of all of them and their characters; `artifacts.attributes` bounds each value. *Inferred*.
MAX_FIELDS = 32
MAX_VALUES = 1000
MAX_TEXT = 32_768
_KEY_BYTES = 16

_BOUNDS = ("gt", "gte", "lt", "lte")
_EXPECTED = {"string": "a string", "number": "a number", "bool": "true or false", "list": "a list of strings"}
#: What a value of these types is called; any other is a list.
_GOT: tuple[tuple[type | UnionType, str], ...] = (
    (NoneType, "null"),
    (bool, "true or false"),
    (int | float, "a number"),
    (str, "a string"),
    (Mapping, "an object"),
)


class FilterError(MrseError, ValueError):
    """A filter that cannot be used; ``field`` is the attribute, the message names it and says why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The attribute equals one of the values, all of one type: `fold`-ed str, float or bool."""

    field: str
    values: tuple[str, ...] | tuple[float, ...] | tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The number lies between the bounds, of which there is at least one; open ones are excluded."""

    field: str
    low: float | None = None
    low_open: bool = False
    high: float | None = None
    high_open: bool = False


#: What an engine has to render.
Condition: TypeAlias = AnyOf | Range


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class Filter:
    """All clauses hold, of which there is at least one."""

    clauses: tuple[Condition | Not, ...]
    #: Digest of the clauses, of 16 bytes: what caches know the filter by, whatever the size of its values.
    key: bytes = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        digest = hashlib.blake2b(orjson.dumps(self.clauses), digest_size=_KEY_BYTES).digest()
        object.__setattr__(self, "key", digest)


def evaluate(
    accepted: Filter,
    holds: Callable[[Condition], T],
    negate: Callable[[T], T],
    both: Callable[[T, T], T],
) -> T:
    """What a filter comes to, made of what each of its conditions comes to.

    Args:
        accepted: the filter.
        holds: renders a condition; an item without the attribute does not meet it.
        negate: of something rendered, its opposite.
        both: of two, that both hold.
    """
    rendered = (
        negate(holds(clause.condition)) if isinstance(clause, Not) else holds(clause)
        for clause in accepted.clauses
    )
    return reduce(both, rendered)


def fold(text: str) -> str:
    """The form in which strings are compared: Unicode's canonical caseless match, composed."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def category_prefixes(path: str) -> list[str]:
    """The folded prefixes of a category path: ``Shoes > Running`` is ``shoes``, ``shoes > running``.

    Of a path that is deeper than a filter may ask for, which only older data holds, those that it may.
    """
    prefixes: list[str] = []
    levels = filter(None, (part.strip() for part in fold(path).split(">")))
    for level in islice(levels, MAX_LEVELS):
        prefixes.append(f"{prefixes[-1]} > {level}" if prefixes else level)
    return prefixes


def terms(field: str, value: str | Sequence[str] | None) -> Sequence[str]:
    """What an item is found by: of a string or a list the folded strings, of a category path its prefixes."""
    if value is None:
        return ()
    if field == CATEGORY and isinstance(value, str):
        return category_prefixes(value)
    return (fold(value),) if isinstance(value, str) else tuple(fold(each) for each in value)


def parse_filter(raw: Mapping[str, object], attributes: Mapping[str, str]) -> Filter | None:
    """Check a request's filters against the attributes of the index.

    Args:
        raw: the request's ``filters`` object.
        attributes: name to ``string``, ``number``, ``bool`` or ``list``.

    Returns:
        None for no filters.

    Raises:
        FilterError: an unknown attribute, a wrong type, an empty list, an unknown operator, a range
            without bounds, too many fields or values, too long or too deep a value.
    """
    if len(raw) > MAX_FIELDS:
        raise FilterError("filters", f"filters has {len(raw)} fields; at most {MAX_FIELDS} are allowed")
    _check_size(raw)
    clauses: list[Condition | Not] = []
    for field, value in sorted(raw.items()):
        kind = attributes.get(field)
        if kind is None:
            known = ", ".join(sorted(attributes)) or "none"
            raise FilterError(field, f"{_shown(field)} is not an attribute of this index; known are {known}")
        clauses.append(_clause(field, kind, value))
    return Filter(tuple(clauses)) if clauses else None


def _check_size(raw: Mapping[str, object]) -> None:
    """Refuse too many values and characters, before any of them is looked at."""
    many = characters = 0
    for name, value in raw.items():
        if isinstance(value, Mapping):
            value = value.get("not", ())  # the bounds of a range are few
        if isinstance(value, str):
            characters += len(value)
        elif isinstance(value, list | tuple):
            many += len(value)
            if len(value) > MAX_VALUES:
                found = f"{_name(name)} has {len(value)} values"
                raise FilterError(name, f"{found}; at most {MAX_VALUES} are allowed")
            characters += sum(len(each) for each in value if isinstance(each, str))
    if many > MAX_VALUES:
        raise FilterError("filters", f"filters has {many} values; at most {MAX_VALUES} are allowed")
    if characters > MAX_TEXT:
        raise FilterError("filters", f"filters has {characters} characters; at most {MAX_TEXT} are allowed")


def _clause(field: str, kind: str, value: object) -> Condition | Not:
    if not isinstance(value, Mapping) or "not" not in value:
        return _condition(field, kind, value)
    if len(value) > 1:
        raise FilterError(field, f"{field}: not stands alone, without other operators beside it")
    return Not(_condition(field, kind, value["not"]))


def _condition(field: str, kind: str, value: object) -> Condition:
    if isinstance(value, Mapping):
        return _range(field, kind, value)
    if not isinstance(value, list | tuple):
        return any_of(field, kind, [value])
    if not value:
        raise FilterError(field, f"{field} has an empty list; name at least one value")
    return any_of(field, kind, value)


def any_of(field: str, kind: str, values: Sequence[object]) -> AnyOf:
    """The condition that an attribute equals, or a list holds, one of some values.

    Raises:
        FilterError: a value is not of the attribute's type, or over the bounds of one.
    """
    checked: Callable[[str, str, object], Any] = {"number": _number, "bool": _flag}.get(kind, _text)
    return AnyOf(field, tuple(sorted({checked(field, kind, value) for value in values})))


def _range(field: str, kind: str, bounds: Mapping[object, object]) -> Range:
    for operator in bounds:
        if operator == "not":
            raise FilterError(field, f"{field} has a not within a not")
        if operator not in _BOUNDS:
            known = ", ".join((*_BOUNDS, "not"))
            raise FilterError(field, f"{field} has an unknown operator {_shown(operator)}; known are {known}")
    if kind != "number":
        raise FilterError(field, f"{field} is {_EXPECTED[kind]}; a range needs a number")
    if not bounds:
        raise FilterError(field, f"{field} has a range without bounds; give one of {', '.join(_BOUNDS)}")
    limits = [(_number(field, kind, bound), operator) for operator, bound in bounds.items()]
    # Of two bounds on one side the tighter one counts; of two equal ones that is the open one.
    lows = [(bound, operator == "gt") for bound, operator in limits if operator in ("gt", "gte")]
    highs = [(bound, operator == "lt") for bound, operator in limits if operator in ("lt", "lte")]
    low, low_open = max(lows, default=(None, False))
    high, high_open = min(highs, key=lambda bound: (bound[0], not bound[1]), default=(None, False))
    return Range(field, low, low_open, high, high_open)


def _number(field: str, kind: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(field, kind, value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise FilterError(field, f"{field} is a number; got one that is not finite")
    return number + 0.0  # -0.0 becomes 0.0: equal filters print alike


def _flag(field: str, kind: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong_type(field, kind, value)
    return value


def _text(field: str, kind: str, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong_type(field, kind, value)
    if reason := too_large(field, value):
        raise FilterError(field, f"{field} {reason}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise FilterError(field, f"{field} has a string with half a surrogate pair") from None
    return (terms(field, value) or ("",))[-1]


def _wrong_type(field: str, kind: str, value: object) -> FilterError:
    got = next((name for types, name in _GOT if isinstance(value, types)), "a list")
    return FilterError(field, f"{field} is {_EXPECTED[kind]}; got {got}")


def _shown(name: object) -> str:
    """A name from the request, cut to a length that an error may carry."""
    return repr(_name(name))


def _name(name: object) -> str:
    text = str(name)
    return text if len(text) <= 64 else f"{text[:64]}…"
