"""A wish list: an event action that is a behaviour."""

from artifacts.actions import ACTIONS, Action

ACTIONS.register(Action("wish"))
