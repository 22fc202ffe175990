"""What filters mean, said as plainly as Python can; strings here are in NFC, so casefold is enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from devtools.embeddings import BRANDS, CATEGORIES, TAGS


def accepts(raw: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
    """Whether an item passes a request's filters, given as they stand in the request."""
    return all(_holds(condition, _value(item, field)) for field, condition in raw.items())


def _value(item: Mapping[str, Any], field: str) -> Any:
    if field != "category":
        return item.get(field)
    levels = (item.get("category") or "").split(" > ")
    return [" > ".join(levels[: depth + 1]) for depth in range(len(levels))]


def _holds(condition: Any, value: Any) -> bool:
    if isinstance(condition, Mapping):
        if "not" in condition:
            return not _holds(condition["not"], value)
        return value is not None and all(
            {"gt": value > bound, "gte": value >= bound, "lt": value < bound, "lte": value <= bound}[operator]
            for operator, bound in condition.items()
        )
    wanted = condition if isinstance(condition, list) else [condition]
    held = value if isinstance(value, list) else [value]
    return any(_same(one, other) for one in wanted for other in held)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return one.casefold() == other.casefold()
    return other is not None and bool(one == other)


def _any_case(texts: tuple[str, ...]) -> st.SearchStrategy[str]:
    styles = st.sampled_from([str, str.upper, str.lower, str.title])
    return st.builds(lambda text, style: style(text), st.sampled_from((*texts, "nothing has this")), styles)


def _conditions(values: st.SearchStrategy[Any], *more: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    plain = st.one_of(values, st.lists(values, min_size=1, max_size=4), *more)
    return st.one_of(plain, st.fixed_dictionaries({"not": plain}))


_numbers = st.one_of(st.integers(-1, 101), st.integers(-2, 202).map(lambda n: n / 2))
_ranges = st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), _numbers, min_size=1)

#: Filters over the attributes of `random_items`, in the request's form.
raw_filters = st.fixed_dictionaries(
    {},
    optional={
        "category": _conditions(_any_case(tuple(filter(None, CATEGORIES)))),
        "brand": _conditions(_any_case(BRANDS)),
        "price": _conditions(_numbers, _ranges),
        "in_stock": _conditions(st.booleans()),
        "tags": _conditions(_any_case(TAGS)),
    },
)
