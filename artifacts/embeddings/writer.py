"""Writes an embeddings folder beside its place; it takes its place when it is whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from artifacts.attributes import CATEGORY, AttributeKind
from artifacts.embeddings.folder import (
    FEATURES_NAME,
    ITEMS_NAME,
    META_NAME,
    PICTURES_NAME,
    SCHEMA_NAME,
    TEXTS_NAME,
    VECTORS_NAME,
    EmbeddingsFolder,
    EmbeddingsMeta,
    Schema,
    read_json,
)
from artifacts.words import MAX_CHARACTERS
from common.arrays import F16
from common.errors import NOT_IN_ORDER, MrseError
from common.files import replace_text, replacing
from common.progress import StageProgress, silent_stage

_ROWS_PER_GROUP = 16_384

#: The arrays, which are filled from the first row to the last.
Part = Literal["features", "embeddings", "pictures"]


class EmbeddingsHeld(MrseError):  # noqa: N818 -- a state of the world
    """The target holds the embeddings of another bundle, which may be served; the message names it."""

    exit_code = NOT_IN_ORDER


def check_target(target: Path, bundle_version: str, *, replace: bool) -> None:
    """Refuse a folder that must not be written over, before anything is worked out.

    Args:
        target: where embeddings are to go.
        bundle_version: of the bundle that makes them.
        replace: whether those of another bundle may go.

    Raises:
        FileExistsError: it is there and is no embeddings folder.
        EmbeddingsHeld: it holds those of another bundle.
    """
    if target.exists() and not (target / META_NAME).is_file() and any(target.iterdir()):
        raise FileExistsError(f"{target} is there and is no embeddings folder; name another with --out")
    if replace or not (target / META_NAME).is_file():
        return
    held = read_json(target / META_NAME, EmbeddingsMeta).bundle_version
    if held != bundle_version:
        raise EmbeddingsHeld(
            f"{target} holds the embeddings of bundle {held}, not of {bundle_version}: name another folder "
            "with --out, or replace them with --force"
        )


class EmbeddingsWriter:
    """An embeddings folder that is being written, in the folder ``<target>.partial``.

    Fill ``features`` and ``embeddings`` from the first row to the last, and `store` how far they are; what
    was stored is there after a kill. `finish` puts the folder in its place.
    """

    #: float16 ``[rows, experts, expert_dim]`` and ``[rows, dim]``, on disk.
    features: F16
    embeddings: F16
    #: float16 ``[rows, picture_dim]``; None where the folder gets no picture features.
    pictures: F16 | None

    def __init__(self, target: Path, meta: EmbeddingsMeta, attributes: Mapping[str, AttributeKind]) -> None:
        """Go on with a partial folder that was begun for the same bundle, shop and attributes, or begin one.

        An embeddings folder that is there is replaced.

        Raises:
            FileExistsError: the target is there and is no embeddings folder.
        """
        check_target(target, meta.bundle_version, replace=True)
        self._target = target
        self._work = work = target.with_name(target.name + ".partial")
        self._rows = meta.rows
        self._text_fields = meta.text_fields
        self._attributes = attributes
        files = {
            SCHEMA_NAME: Schema(attributes=dict(attributes)).model_dump_json(indent=2),
            META_NAME: meta.model_dump_json(indent=2),
        }
        begun = all((work / name).is_file() and (work / name).read_text() == files[name] for name in files)
        if not begun:
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
        self.features = _array(work / FEATURES_NAME, (meta.rows, meta.experts, meta.expert_dim))
        self.embeddings = _array(work / VECTORS_NAME, (meta.rows, meta.dim))
        shape = (meta.rows, meta.picture_dim)
        self.pictures = _array(work / PICTURES_NAME, shape) if meta.picture_dim else None
        for name, text in files.items():
            replace_text(work / name, text)

    def write_items(self, items: Iterable[Mapping[str, Any]], progress: StageProgress = silent_stage) -> None:
        """Write the items file, unless it is there; a missing value is None or absent."""
        import pyarrow as pa

        from artifacts.parquet import ARROW_TYPES, RowWriter

        final = self._work / ITEMS_NAME
        if final.is_file():
            return
        kinds: dict[str, AttributeKind] = {"id": "string", CATEGORY: "string", **self._attributes}
        schema = pa.schema([(name, ARROW_TYPES[kind]) for name, kind in kinds.items()])
        with replacing(final) as path, RowWriter(path, schema, _ROWS_PER_GROUP) as writer:
            for item in items:
                writer.add(item.get(name) for name in kinds)
                if writer.rows % _ROWS_PER_GROUP == 0:
                    progress(writer.rows, self._rows)
        progress(self._rows, self._rows)

    def write_texts(self, texts: Iterable[Mapping[str, str]], progress: StageProgress = silent_stage) -> None:
        """Write the texts file, unless it is there or the folder has no text fields.

        ``texts`` are of the items in order: the id, and each of the text fields.
        """
        import pyarrow as pa

        from artifacts.parquet import RowWriter

        final = self._work / TEXTS_NAME
        if final.is_file() or not self._text_fields:
            return
        names = ("id", *self._text_fields)
        schema = pa.schema([(name, pa.string()) for name in names])
        with replacing(final) as path, RowWriter(path, schema, _ROWS_PER_GROUP) as writer:
            for item in texts:
                writer.add(item.get(name, "")[:MAX_CHARACTERS] for name in names)
                if writer.rows % _ROWS_PER_GROUP == 0:
                    progress(writer.rows, self._rows)
        progress(self._rows, self._rows)

    def done(self, part: Part) -> int:
        """How many rows of an array are stored."""
        file = self._done_file(part)
        return int(file.read_text()) if file.is_file() else 0

    def store(self, part: Part, rows: int) -> None:
        """Say that the first ``rows`` of an array are filled."""
        replace_text(self._done_file(part), str(rows))

    def finish(self) -> EmbeddingsFolder:
        """Put the folder in its place and open it."""
        for part in ("features", "embeddings", "pictures"):
            self._done_file(part).unlink(missing_ok=True)
        del self.features, self.embeddings, self.pictures
        shutil.rmtree(self._target, ignore_errors=True)
        self._work.rename(self._target)
        return EmbeddingsFolder.open(self._target)

    def _done_file(self, part: str) -> Path:
        return self._work / f"{part}.done"


def _array(path: Path, shape: tuple[int, ...]) -> F16:
    mode: Literal["r+", "w+"] = "r+" if path.is_file() else "w+"
    array: F16 = np.lib.format.open_memmap(path, mode=mode, dtype=np.float16, shape=shape)
    return array
