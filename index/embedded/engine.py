"""The embedded engine, as the registry knows it; faiss is loaded when an index is opened."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from index.engine import Engine, EngineSettings, IndexOpenError, OpenedIndex
from index.port import TITLE

_MB = 1024 * 1024


class EmbeddedSettings(EngineSettings):
    """The table ``[embedded]``."""

    #: Searches that run at once; two, so that Q2I and I2I run side by side.
    threads: int = Field(default=2, ge=1)
    #: Live changes after which the index is rebuilt in the background.
    rebuild_after: int = Field(default=20_000, ge=1)
    #: Megabytes of live changes after which it is, too: the start reads them all, and the last one of each
    #: item is held in memory. *Inferred*.
    rebuild_after_mb: int = Field(default=128, ge=1)
    #: Megabytes that stay free on the disk of the index: changes and rebuilds are refused before.
    reserve_mb: int = Field(default=256, ge=0)
    #: Hours between two looks at every byte of the index's files, at 32 MB a second. 0: never.
    verify_every_h: float = Field(default=24.0, ge=0)


class EmbeddedEngine(Engine[EmbeddedSettings]):
    """An index folder in this process; it holds item features and takes changes."""

    name = "embedded"
    settings = EmbeddedSettings
    preload = ("index.embedded.index",)

    def open(self, path: Path, settings: EmbeddedSettings, *, queue: int) -> OpenedIndex:
        """See `Engine.open`."""
        from index.embedded.index import EmbeddedIndex

        try:
            index = EmbeddedIndex.open(
                path,
                threads=settings.threads,
                queue=queue,
                rebuild_after=settings.rebuild_after,
                rebuild_after_bytes=settings.rebuild_after_mb * _MB,
                reserve=settings.reserve_mb * _MB,
            )
        except (ValueError, OSError) as error:
            raise IndexOpenError(f"index {path}: {error}") from error
        upkeep = index.look_after(settings.verify_every_h * 3600)
        photos = index if index.picture_dim else None
        return OpenedIndex(
            index=index,
            features=index,
            writable=index,
            values=index,
            titles=index if TITLE in index.text_fields else None,
            lexical=index.lexical,
            photos=photos,
            ranked=index,
            exact=index,
            upkeep=upkeep,
        )
