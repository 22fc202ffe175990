"""Whether one item passes a filter, by the values that an index gives of it (`port.StoredValues`)."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

from index.filters import AnyOf, Condition, Filter, Not, evaluate, terms


def fields_of(accepted: Filter) -> tuple[str, ...]:
    """The attributes that a filter reads, each once."""
    conditions = (clause.condition if isinstance(clause, Not) else clause for clause in accepted.clauses)
    return tuple(dict.fromkeys(condition.field for condition in conditions))


def accepts(accepted: Filter, values: Mapping[str, Any]) -> bool:
    """Whether an item passes; ``values`` has each of `fields_of`, None where the item has none."""

    def holds(condition: Condition) -> bool:
        return _holds(condition, values[condition.field])

    passes: bool = evaluate(accepted, holds, operator.not_, operator.and_)
    return passes


def _holds(condition: Condition, value: Any) -> bool:
    if value is None:
        return False
    if isinstance(condition, AnyOf):
        if isinstance(value, str | list | tuple):
            return not set(condition.values).isdisjoint(terms(condition.field, value))
        return value in condition.values
    above = condition.low is None or (value > condition.low if condition.low_open else value >= condition.low)
    below = condition.high is None or (
        value < condition.high if condition.high_open else value <= condition.high
    )
    return bool(above and below)
