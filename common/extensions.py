"""Modules of a team's own, imported before anything is built from the registries.

``MRSE_EXTENSIONS=acme.recall,acme.metrics`` names them. Each registers what it adds when it is imported:
a route, an engine, an expert, an event action or a measure. Every process of `mrse` loads them: the command,
workers, and processes that train or rebuild.
"""

from __future__ import annotations

import importlib
import os

from common.errors import MrseError

VARIABLE = "MRSE_EXTENSIONS"


class ExtensionError(MrseError):
    """An extension cannot be imported."""


def load_extensions() -> None:
    """Import the modules that ``MRSE_EXTENSIONS`` names, in that order.

    Raises:
        ExtensionError: one of them cannot be imported.
    """
    for name in os.environ.get(VARIABLE, "").split(","):
        if name := name.strip():
            try:
                importlib.import_module(name)
            except ImportError as error:
                raise ExtensionError(f"{VARIABLE}: {name}: {error}") from error
