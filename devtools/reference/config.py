"""Of ``docs/reference/config.md``: every key that ``mrse train --set`` takes, and what the presets change."""

from __future__ import annotations

from collections.abc import Iterator

from devtools.reference.keys import cell, flat, tables, written
from devtools.reference.settings import section
from models.towers.config import Config
from models.towers.experts import EXPERTS
from models.towers.presets import NEEDS, PRESETS, preset

_PRESETS = "| preset | for | must be given | changes |\n|---|---|---|---|\n"


def presets() -> str:
    """The presets, and what each changes."""
    return _PRESETS + "".join(_presets())


def made() -> str:
    """A section for each table."""
    parts = []
    for table in tables(Config, values=Config(), optional=False):
        parts.append(section(table))
        if table.name == "switches":
            parts.append("\n".join(_experts()) + "\n")
    return "".join(parts)


def _presets() -> Iterator[str]:
    base = flat(Config().model_dump(mode="json"))
    for name, about in PRESETS.items():
        own = flat(preset(name).model_dump(mode="json"))
        changes = [f"`{key}` {written(value)}" for key, value in own.items() if base.get(key) != value]
        given = [f"`{key}`: {what}" for key, what in NEEDS.get(name, {}).items()]
        told = " · ".join(each for each in changes if not each.startswith("`preset`"))
        yield f"| `{name}` | {cell(about)} | {cell('; '.join(given))} | {cell(told)} |\n"


def _experts() -> Iterator[str]:
    for name, expert in EXPERTS.items():
        yield f"| `switches.{name}` | true or false | `true` | Off: {cell(expert.title)} says nothing. |"
