"""The embedded engine, as the registry knows it; faiss is loaded when an index is opened."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from index.port import Engine, EngineSettings, IndexOpenError, OpenedIndex


class EmbeddedSettings(EngineSettings):
    """The table ``[embedded]``."""

    #: Searches that run at once; two, so that Q2I and I2I run side by side.
    threads: int = Field(default=2, ge=1)
    #: Live changes after which the index is rebuilt in the background.
    rebuild_after: int = Field(default=20_000, ge=1)


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
                path, threads=settings.threads, queue=queue, rebuild_after=settings.rebuild_after
            )
        except (ValueError, OSError) as error:
            raise IndexOpenError(f"index {path}: {error}") from error
        return OpenedIndex(index=index, features=index, writable=index)
