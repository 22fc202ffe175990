"""Of ``docs/reference/settings.md``: every setting of the service."""

from __future__ import annotations

from devtools.reference.keys import Table, cell, tables
from service.settings.tree import composed

COLUMNS = "| key | type | default | means |\n|---|---|---|---|\n"


def made() -> str:
    """A section for each table."""
    return "".join(section(table) for table in tables(composed(), optional=True) if table.keys)


def section(table: Table) -> str:
    """A table's heading, what it is for, and its keys."""
    heading = f"`[{table.name}]`" if table.name else "Without a table"
    return f"\n## {heading}\n\n{table.about}\n\n{COLUMNS}{rows(table)}\n"


def rows(table: Table) -> str:
    """The lines of the keys."""
    return "\n".join(
        f"| `{key.name}` | {cell(key.type)} | {cell(key.default) or 'to be given'} | {cell(key.means)} |"
        for key in table.keys
    )
