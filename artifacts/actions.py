"""The event actions: what a user can do with an item, in the order that gives each behaviour its id.

To add one, add a line to `ACTIONS`; from outside, register it in a module that ``MRSE_EXTENSIONS`` names.
A new behaviour comes last, so that the ids in bundles and in stored portraits keep their meaning. Schemas,
documents, error messages and the portrait's learned biases take the names from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from common.errors import MrseError


class ActionError(MrseError, ValueError):
    """An action cannot be registered."""


@dataclass(frozen=True, slots=True)
class Action:
    """A value of the events file's ``action`` column.

    ``is_behaviour`` tells whether the action says that the user wanted the item: a behaviour trains the
    towers and stands in portraits. An impression without a click does not, and is no negative either.
    """

    name: str
    is_behaviour: bool = True


class ActionTable:
    """The actions by name, and the ids of those that are behaviours.

    Attributes:
        names: every action, in order.
        behaviours: the actions that are behaviours, in order.
        behaviour_ids: id of each behaviour: its place among the behaviours, from 1; 0 is an empty slot.
    """

    def __init__(self, *actions: Action) -> None:
        self.names: tuple[str, ...] = ()
        self.behaviours: tuple[str, ...] = ()
        self.behaviour_ids: Mapping[str, int] = {}
        self._final = False
        for action in actions:
            self.register(action)

    def register(self, action: Action) -> None:
        """Add an action behind the others.

        Raises:
            ActionError: the name is taken, or something was built from the table already.
        """
        if self._final:
            raise ActionError(
                f"action {action.name!r} comes too late: the request schema is built; register it in a "
                "module that MRSE_EXTENSIONS names, before the first request"
            )
        if action.name in self.names:
            raise ActionError(f"action {action.name!r} is registered already")
        self.names += (action.name,)
        if action.is_behaviour:
            self.behaviours += (action.name,)
        ids = {name: place for place, name in enumerate(self.behaviours, start=1)}
        self.behaviour_ids = MappingProxyType(ids)

    def final_behaviours(self) -> tuple[str, ...]:
        """The behaviours, for what is built from them once; from now on no action can be registered."""
        self._final = True
        return self.behaviours

    def any_behaviour(self) -> str:
        """The behaviours in words: ``click, cart or order``."""
        return either(self.behaviours)


def either(names: tuple[str, ...]) -> str:
    """Names in words: ``click, cart or order``."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


#: The order is part of every bundle.
ACTIONS = ActionTable(
    Action("impression", is_behaviour=False),
    Action("click"),
    Action("cart"),
    Action("order"),
)
