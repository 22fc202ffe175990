"""The engines that a service can search with, by name.

``index.engine`` chooses one. To add one, write a package with an `index.engine.Engine` in it and add it to
the list below; an extension (`common.extensions`) registers its own with `register`.
"""

from __future__ import annotations

from typing import Any

from index.embedded.engine import EmbeddedEngine
from index.engine import Engine
from index.vespa.engine import VespaEngine

ENGINES: dict[str, Engine[Any]] = {engine.name: engine for engine in (EmbeddedEngine(), VespaEngine())}


def register(engine: Engine[Any]) -> None:
    """Add an engine, or replace the one of its name; before settings are read."""
    ENGINES[engine.name] = engine
