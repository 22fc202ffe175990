"""The templates of ``vespa_app/``: beside the code in a checkout, inside the package in a wheel."""

from __future__ import annotations

from pathlib import Path
from string import Template

#: In a wheel ``vespa_app/`` is copied to this folder, see pyproject's force-include.
_IN_WHEEL = Path(__file__).parent / "templates"
_IN_CHECKOUT = Path(__file__).parents[3] / "vespa_app"


def templates() -> Path:
    """The folder of templates.

    Raises:
        FileNotFoundError: the installation is damaged: neither place has them.
    """
    for folder in (_IN_WHEEL, _IN_CHECKOUT):
        if (folder / "item.sd").is_file():
            return folder
    raise FileNotFoundError(f"no Vespa templates in {_IN_WHEEL} or {_IN_CHECKOUT}: reinstall mrse-recall")


def read_template(name: str) -> Template:
    """One template; placeholders are ``$name``."""
    return Template((templates() / name).read_text(encoding="utf-8"))
