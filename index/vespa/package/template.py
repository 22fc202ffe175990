"""The templates of a package: files with places to fill, from ``vespa_app/``."""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import Final

#: The templates: in a wheel ``vespa_app/`` is copied beside the code, see pyproject's force-include.
_TEMPLATES: Final = (Path(__file__).parent / "templates", Path(__file__).parents[3] / "vespa_app")


def templates() -> Path:
    """Their folder.

    Raises:
        FileNotFoundError: the installation has none.
    """
    for folder in _TEMPLATES:
        if (folder / "item.sd").is_file():
            return folder
    raise FileNotFoundError(
        f"no Vespa templates in {_TEMPLATES[0]} or {_TEMPLATES[1]}: reinstall mrse-recall"
    )


def template(name: str) -> Template:
    """One of them."""
    return Template((templates() / name).read_text(encoding="utf-8"))
