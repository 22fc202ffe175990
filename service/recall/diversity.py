"""At most so many items of a brand, or of a parent product: the best of each stay, the others go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from pydantic import BaseModel, ConfigDict, Field

from index.filters import AnyOf, Filter, Not
from service.recall.routes.outcome import Item

#: Candidates that the routes are asked for at first, for each that is wanted. *Inferred*.
WIDER = 2.0
#: Times that the routes are asked again for items of other values than those that are full, for one request.
#: Each asks for twice as many for each that is missing as the one before, up to so many for each of k: no
#: request costs more than 26 without a limit. *Inferred*.
MAX_ROUNDS = 6
MOST_WIDER = 4.0


class Diversity(BaseModel):
    """At most ``most`` items of the answer have the same value of an attribute; those without it are free."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: A declared attribute of strings or numbers.
    attribute: str = Field(min_length=1, max_length=128)
    #: Items that may have the same value.
    most: int = Field(ge=1, le=1000)


class Limiter:
    """Lets the best items of each value through.

    Args:
        diversity: attribute and number.
        value: of an item, by its id; None for an item without the attribute.
    """

    def __init__(self, diversity: Diversity, value: Callable[[str], object]) -> None:
        self._diversity = diversity
        self._value = value
        self._held: Counter[object] = Counter()

    def hold(self, item_ids: Iterable[str]) -> None:
        """Count items that stand in the answer whatever the limit says."""
        values = map(self._value, item_ids)
        self._held.update(value for value in values if value is not None)

    def allowed(self, items: Iterable[Item]) -> list[Item]:
        """The items, best first, without those whose value is full by then."""
        kept, most = [], self._diversity.most
        for item in items:
            value = self._value(item["item_id"])
            if value is None:
                kept.append(item)
            elif self._held[value] < most:
                self._held[value] += 1
                kept.append(item)
        return kept

    def others(self, filters: Filter | None) -> Filter | None:
        """Filters that also leave out items whose value is full; None where no value is."""
        full = [value for value, held in self._held.items() if held >= self._diversity.most]
        if not full:
            return None
        # All of one type, as the attribute is; a set of them in order, so that equal filters have one key.
        values: tuple[str, ...] = tuple(sorted(full))  # type: ignore[arg-type]
        clause = Not(AnyOf(self._diversity.attribute, values))
        return Filter((clause,) if filters is None else (*filters.clauses, clause))
