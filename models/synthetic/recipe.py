"""How a synthetic shop was drawn, kept beside it: so that it can be drawn again with another dial."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from common.errors import MrseError
from common.files import replace_text

RECIPE_FILE = "synthetic.json"
_FORMAT = 1


class RecipeError(MrseError, ValueError):
    """A shop cannot be drawn, or not drawn again; the message says why."""


@dataclass(frozen=True)
class Dials:
    """What may be turned without moving a constant of the shop; the defaults are the constants' own.

    Attributes:
        taste: times how strongly a user's taste acts on what is listed and clicked; 0 = tastes do nothing.
        picture_only: share of the text traffic that asks for what pictures alone show (pattern, logo), 0 to
            1; None = as the shares of the kinds of queries add up to.
    """

    taste: float = 1.0
    picture_only: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.taste <= 10.0:
            raise RecipeError(f"taste is {self.taste:g}, expected 0 to 10")
        if self.picture_only is not None and not 0.0 <= self.picture_only <= 1.0:
            raise RecipeError(f"the share of picture-only queries is {self.picture_only:g}, expected 0 to 1")


@dataclass(frozen=True)
class Recipe:
    """The arguments of `make_shop`."""

    items: int
    users: int
    events: int
    seed: int
    dials: Dials = Dials()

    def turned(self, dials: dict[str, float]) -> Recipe:
        """The same shop with other dials."""
        return replace(self, dials=replace(self.dials, **dials))

    def write(self, folder: Path) -> None:
        """Write ``synthetic.json``."""
        replace_text(folder / RECIPE_FILE, json.dumps({"format": _FORMAT, **asdict(self)}, indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Recipe | None:
        """What ``synthetic.json`` says; None where there is none.

        Raises:
            RecipeError: it cannot be read, or a later version wrote it.
        """
        file = folder / RECIPE_FILE
        if not file.is_file():
            return None
        try:
            content = json.loads(file.read_text())
            found = content.pop("format")
            recipe = None if found != _FORMAT else cls(dials=Dials(**content.pop("dials")), **content)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RecipeError(f"{file}: is not as `mrse shop make` wrote it: {error}") from error
        if recipe is None:
            raise RecipeError(f"{file}: is of format {found}; this version reads {_FORMAT}: draw it again")
        return recipe
