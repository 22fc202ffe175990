"""What an engine has to offer to be put through the contract suite.

An engine's adapter is registered in `ADAPTERS`. To add one: a class with the members of `Adapter`, in a
module of its own, and a line in `ADAPTERS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from common.deadline import Deadline
from devtools.embeddings import make_embeddings
from index.changes import ItemPut, ItemUpdate
from index.embedded.build import build_index
from index.embedded.index import EmbeddedIndex
from index.embedded.probe import EXACT
from index.embedded.searched import Planning
from index.port import ItemIndex
from tests.index.vespa_adapter import Vespa


@dataclass(frozen=True)
class Catalogue:
    """What an engine is started with. ``items`` are rows of an items file, see `make_embeddings`."""

    items: Sequence[Mapping[str, Any]]
    #: float32 ``[len(items), dim]`` of unit length.
    vectors: np.ndarray
    attributes: Mapping[str, str]
    bundle_version: str
    #: Of each item by field; None: the index is not searched by words.
    texts: Sequence[Mapping[str, str]] | None = None
    #: float32 ``[len(items), picture_dim]``, of unit length or zeros; None: it is not searched by pictures.
    pictures: np.ndarray | None = None


class Starter(Protocol):
    """An engine that is up, for as long as its context lasts."""

    async def start(self, catalogue: Catalogue) -> ItemIndex:
        """An index over the catalogue, every item of it visible to searches.

        Called again with the same catalogue it gives another index over the same content, which may
        share servers with the first, though closing one leaves the other usable.
        """


class Adapter(Protocol):
    """An engine's adapter."""

    name: str
    #: How far a score may be from the cosine of the float32 vectors.
    tolerance: float

    def up(self, folder: Path) -> AbstractContextManager[Starter]:
        """Bring up what the engine needs; ``folder`` is its own to write to.

        Entered once for the suite. May call ``pytest.skip`` where the machine lacks something.
        """


@dataclass(frozen=True)
class Embedded:
    """Builds an index folder, opens it in this process."""

    name: str = "embedded"
    tolerance: float = 1e-3
    #: Cluster whatever few rows there are, and probe whatever few match; every list, since the suite
    #: asks for exact answers.
    lists: bool = False
    #: Make the catalogue of changes to another.
    changed: bool = False

    @contextmanager
    def up(self, folder: Path) -> Any:
        yield _EmbeddedStarter(folder, self)


class _EmbeddedStarter:
    def __init__(self, folder: Path, engine: Embedded) -> None:
        self._folder = folder
        self._engine = engine
        self._started = 0

    async def start(self, catalogue: Catalogue) -> ItemIndex:
        self._started += 1
        items, vectors, texts = catalogue.items, catalogue.vectors, catalogue.texts
        pictures = catalogue.pictures
        if self._engine.changed:
            items = [*items[:200], {"id": "gone", "category": "Shoes"}]
            vectors = np.concatenate([vectors[100:300], vectors[:1]])
            texts = None if texts is None else [*texts[:100], *texts[:100], {"title": "gone red"}]
            pictures = None if pictures is None else np.concatenate([pictures[100:300], pictures[1:2]])
        embeddings = make_embeddings(
            self._folder / f"embeddings{self._started}",
            items=items,
            vectors=vectors,
            attributes=catalogue.attributes,
            bundle_version=catalogue.bundle_version,
            texts=texts,
            pictures=pictures,
        )
        folder = self._folder / f"index{self._started}"
        lists = self._engine.lists
        build_index(embeddings, folder, cluster_rows=1 if lists else 1000)
        planning = Planning(exact_rows=0, reach=EXACT) if lists else Planning()
        index = EmbeddedIndex.open(folder, threads=2, planning=planning)
        if self._engine.changed:
            await _change(index, catalogue)
        return index


async def _change(index: EmbeddedIndex, catalogue: Catalogue) -> None:
    """Every item put with its own vector, some of them with attributes that an update mends."""
    deadline = Deadline.after(60)
    puts = []
    for row, item in enumerate(catalogue.items):
        attributes = {name: item.get(name) for name in catalogue.attributes}
        texts = {} if catalogue.texts is None else catalogue.texts[row]
        picture = None if catalogue.pictures is None else catalogue.pictures[row]
        picture = None if picture is None or not picture.any() else picture
        vector = catalogue.vectors[row]
        puts.append(ItemPut(item["id"], vector, None, item["category"], attributes, texts, picture))
    wrong = [replace(put, category="Bags", attributes={"price": 7}) for put in puts[::3]]
    await index.upsert([*puts, ItemPut("gone too", catalogue.vectors[0])], deadline)
    await index.upsert(wrong, deadline)
    updates = [ItemUpdate(put.id, put.attributes, put.category, put.texts) for put in puts[::3]]
    await index.update(updates, deadline)
    await index.remove(["gone", "gone too"], deadline)


ADAPTERS: tuple[Adapter, ...] = (
    Embedded(),
    Embedded("embedded-lists", lists=True),
    Embedded("embedded-changed", changed=True),
    Embedded("embedded-lists-changed", lists=True, changed=True),
    Vespa(),
)
