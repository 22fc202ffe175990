"""What an engine has to offer to be put through the contract suite.

An engine's adapter is registered in `ENGINES`. To add one: a class with the members of `Engine`, in a
module of its own, and a line in `ENGINES`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from service.index.embedded import EmbeddedIndex
from service.index.embedded.build import build_index
from service.index.port import ItemIndex
from tests.contract.vespa_engine import Vespa
from tests.support.embeddings import make_embeddings


@dataclass(frozen=True)
class Catalogue:
    """What an engine is started with. ``items`` are rows of an items file, see `make_embeddings`."""

    items: Sequence[Mapping[str, Any]]
    #: float32 ``[len(items), dim]`` of unit length.
    vectors: np.ndarray
    attributes: Mapping[str, str]
    bundle_version: str


class Starter(Protocol):
    """An engine that is up, for as long as its context lasts."""

    async def start(self, catalogue: Catalogue) -> ItemIndex:
        """An index over the catalogue, every item of it visible to searches.

        Called again with the same catalogue it gives another index over the same content, which may
        share servers with the first, though closing one leaves the other usable.
        """


class Engine(Protocol):
    """An engine's adapter."""

    name: str
    #: How far a score may be from the cosine of the float32 vectors.
    tolerance: float

    def up(self, folder: Path) -> AbstractContextManager[Starter]:
        """Bring up what the engine needs; ``folder`` is its own to write to.

        Entered once for the suite. May call ``pytest.skip`` where the machine lacks something.
        """


class Embedded:
    """Builds an index folder, opens it in this process."""

    name = "embedded"
    tolerance = 1e-3

    @contextmanager
    def up(self, folder: Path) -> Any:
        yield _EmbeddedStarter(folder)


class _EmbeddedStarter:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started = 0

    async def start(self, catalogue: Catalogue) -> ItemIndex:
        self._started += 1
        embeddings = make_embeddings(
            self._folder / f"embeddings{self._started}",
            items=catalogue.items,
            vectors=catalogue.vectors,
            attributes=catalogue.attributes,
            bundle_version=catalogue.bundle_version,
        )
        build_index(embeddings, self._folder / f"index{self._started}")
        return EmbeddedIndex.open(self._folder / f"index{self._started}", threads=2)


ENGINES: tuple[Engine, ...] = (Embedded(), Vespa())
