"""Of ``docs/reference/files.md``: what the artifacts hold, from the docstrings of what reads them."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

from artifacts.actions import ACTIONS, either
from devtools.reference.keys import cell, plain

_ROOT = Path(__file__).parents[2]


def docstring(path: str) -> str:
    """A module's docstring."""
    return ast.get_docstring(ast.parse((_ROOT / path).read_text(encoding="utf-8"))) or ""


def shop() -> str:
    """The columns of items and events, and how each format writes them."""
    text = docstring("artifacts/shop/__init__.py")
    table = text[text.index("| file |") : text.index("::", text.index("| file |"))].strip()
    actions = either(tuple(f"`{name}`" for name in ACTIONS.names))
    return table.replace("``", "`").replace("one of `artifacts.actions.ACTIONS`", actions)


def listing(path: str, after: str) -> str:
    """The indented listing of a docstring that follows some words."""
    text = docstring(path)
    rest = text[text.index(after) + len(after) :]
    found = re.search(r"::\n\n((?:    .*\n|\n)+)", rest + "\n")
    assert found is not None, (path, after)
    return f"```\n{inspect.cleandoc(found[1])}\n```"


def exposures() -> str:
    """The fields of an event of the exposure log."""
    rows = re.findall(r"(?m)^(``.+?``)  +(\S.*)$", docstring("artifacts/exposures.py"))
    lines = "\n".join(f"| {plain(name)} | {cell(plain(told))} |" for name, told in rows)
    return f"| field | holds |\n|---|---|\n{lines}"
