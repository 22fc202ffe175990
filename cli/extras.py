"""How to get what an extra brings, as a command to type."""

from __future__ import annotations

from pathlib import Path


def how_to_get(extra: str) -> str:
    """The command that installs an extra of `make dev`: that in a checkout, pip's elsewhere."""
    checkout = Path(__file__).parents[1]
    if (checkout / "Makefile").is_file() and (checkout / "pyproject.toml").is_file():
        return "make dev"
    return f"pip install 'mrse-recall[{extra}]'"
