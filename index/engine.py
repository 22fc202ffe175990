"""What an engine is: it opens indexes of one kind, and says what can be done with them.

A new engine is a package with an `Engine` in it, and a line in `index.engines.ENGINES`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from common.errors import MrseError
from index.changes import WritableIndex
from index.port import (
    ExactIndex,
    FarIndex,
    ItemFeatures,
    ItemIndex,
    ItemTitles,
    ItemValues,
    LexicalIndex,
    PhotoIndex,
    RankedIndex,
)
from index.watching import IndexCalls, IndexUpkeep


class IndexOpenError(MrseError):
    """An index cannot be opened with these settings; the message names the file or the setting."""


class EngineSettings(BaseModel):
    """The table of an engine in the configuration file; a subclass adds the keys and their defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")


S = TypeVar("S", bound=EngineSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedIndex:
    """An index, and what can be done with it beside searching; None where the engine does not offer it."""

    index: ItemIndex
    #: Where the item features of a history come from.
    features: ItemFeatures | None = None
    #: Takes changes while it is searched.
    writable: WritableIndex | None = None
    #: Where it takes none, though it might: what to set.
    unwritable: str | None = None
    #: Searches by words; None where the index holds no texts.
    lexical: LexicalIndex | None = None
    #: Searches by pictures; None where the index holds no picture features.
    photos: PhotoIndex | None = None
    #: Gives the attributes of items.
    values: ItemValues | None = None
    #: Gives their titles; None where the index holds none.
    titles: ItemTitles | None = None
    #: Lists items by a number attribute.
    ranked: RankedIndex | None = None
    #: Answers what a request needs of it together, where it is far.
    far: FarIndex | None = None
    #: Searches exactly, to tell how much the usual search finds.
    exact: ExactIndex | None = None
    #: Asks the server behind the index, in the event loop, whether it is there and holds this bundle's items.
    #: Raises `IndexUnavailable` while it is not there, and ValueError when its content is another bundle's.
    check: Callable[[], Awaitable[None]] | None = None
    #: What is known of its files.
    upkeep: IndexUpkeep | None = None
    #: The servers behind it.
    calls: IndexCalls | None = None


class Engine(ABC, Generic[S]):
    """Opens indexes of one kind. Its module must load fast: the engine's libraries are imported in `open`."""

    #: Value of ``index.engine``, and the engine's table in the configuration file: lower case, no underscore.
    name: ClassVar[str]
    #: The keys of that table.
    settings: type[S]
    #: Modules that a server imports before it forks its workers, so that they share their memory.
    preload: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def open(self, path: Path, settings: S, *, queue: int) -> OpenedIndex:
        """Open an index; may block, and is called before the event loop needs it.

        Args:
            path: ``index.path`` of the configuration, or the index of an experiment's arm.
            settings: the engine's own table.
            queue: searches that may wait; beyond, a search may fail with ``overloaded``.

        Raises:
            IndexOpenError: there is no index, it is damaged, or the settings do not go together.
        """
