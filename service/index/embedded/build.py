"""From an embeddings folder to an index folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, Field, ValidationError

from models.bundle.manifest import file_entry
from service.index.embedded.attributes import Column, write_attributes
from service.index.embedded.columns import attribute_column, category_column
from service.index.embedded.ids import write_ids
from service.index.embedded.manifest import (
    ATTRIBUTES_NAME,
    FEATURES_NAME,
    FILE_NAMES,
    IDS_NAME,
    MANIFEST_NAME,
    VECTORS_NAME,
    IndexManifest,
)
from service.index.embedded.vectors import write_vectors
from service.index.filters import CATEGORY
from service.index.port import F32, AttributeKind

Progress = Callable[[int, int | None], None]
M = TypeVar("M", bound=BaseModel)

_CHUNK = 16_384
#: How far a vector's length may be from 1; fp16 alone accounts for 0.001.
_LENGTH_TOLERANCE = 0.01


class EmbeddingsRefused(ValueError):  # noqa: N818 -- the state of a folder
    """An embeddings folder that no index can be built from; ``file`` says which file is wrong."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file


class _Meta(BaseModel):
    """``meta.json`` of an embeddings folder."""

    format: Literal[1]
    bundle_version: str
    rows: int = Field(ge=1)
    dim: int = Field(ge=1)
    experts: int = Field(ge=1)
    expert_dim: int = Field(ge=1)
    data: str = ""


class _Schema(BaseModel):
    """``schema.json`` of an embeddings folder."""

    attributes: dict[str, AttributeKind]


def build_index(embeddings: Path, target: Path, progress: Progress | None = None) -> IndexManifest:
    """Build an index folder; readers see the old one or the new one, never half of one.

    The same embeddings give the same bytes and so the same version.

    Args:
        embeddings: a folder with ``meta.json``, ``schema.json``, ``embeddings.npy``, ``features.npy``
            and ``items.parquet``.
        target: the index folder; an index that is there is replaced (who has it open keeps it).
        progress: called with the vectors done and all vectors.

    Raises:
        EmbeddingsRefused: a file is missing, or its content is not what the others say.
        FileExistsError: the target is there and is no index.
    """
    if target.exists() and not (target / MANIFEST_NAME).is_file() and any(target.iterdir()):
        raise FileExistsError(f"{target} is there and is no index folder")
    meta, schema = (
        _read_json(embeddings / "meta.json", _Meta),
        _read_json(embeddings / "schema.json", _Schema),
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    work = target.with_name(f".{target.name}.{os.getpid()}.new")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        _write_items(embeddings / "items.parquet", work, meta, schema)
        _copy_features(embeddings / "features.npy", work / FEATURES_NAME, meta)
        write_vectors(work / VECTORS_NAME, meta.dim, _vectors(embeddings / "embeddings.npy", meta, progress))
        manifest = IndexManifest(
            bundle_version=meta.bundle_version,
            data=meta.data,
            rows=meta.rows,
            dim=meta.dim,
            experts=meta.experts,
            expert_dim=meta.expert_dim,
            attributes={**schema.attributes, CATEGORY: "list"},
            files={name: file_entry(work / name) for name in FILE_NAMES},
        ).versioned()
        (work / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
        _replace(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return manifest


def _read_json(path: Path, model: type[M]) -> M:
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise EmbeddingsRefused(path, f"cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise EmbeddingsRefused(path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _write_items(path: Path, work: Path, meta: _Meta, schema: _Schema) -> None:
    """Write ids and attributes, one column in memory at a time."""
    try:
        items = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise EmbeddingsRefused(path, f"cannot be read as Parquet ({error})") from error
    with items:
        if items.metadata.num_rows != meta.rows:
            raise EmbeddingsRefused(path, f"has {items.metadata.num_rows} rows, meta.json says {meta.rows}")

        def column(name: str) -> Any:
            if name not in items.schema_arrow.names:
                raise EmbeddingsRefused(path, f"has no column {name!r}")
            return items.read(columns=[name]).column(0).combine_chunks()

        def columns() -> Iterator[tuple[str, AttributeKind, Column]]:
            yield CATEGORY, "list", category_column(column(CATEGORY).cast(pa.large_string()))
            for name, kind in sorted(schema.attributes.items()):
                try:
                    yield name, kind, attribute_column(kind, column(name))
                except ValueError as error:
                    raise EmbeddingsRefused(path, f"column {name!r} {error}") from error

        if reserved := {"id", CATEGORY} & schema.attributes.keys():
            raise EmbeddingsRefused(path.with_name("schema.json"), f"{reserved} cannot be attributes")
        ids = column("id").cast(pa.large_string())
        if ids.null_count:
            raise EmbeddingsRefused(path, f"has {ids.null_count} rows without an id")
        try:
            write_ids(work / IDS_NAME, ids)
        except ValueError as error:
            raise EmbeddingsRefused(path, str(error)) from error
        write_attributes(work / ATTRIBUTES_NAME, columns())


def _copy_features(source: Path, target: Path, meta: _Meta) -> None:
    features = _open_array(source, (meta.rows, meta.experts, meta.expert_dim))
    for start in range(0, meta.rows, _CHUNK):
        _check_finite(source, features[start : start + _CHUNK], start)
    shutil.copyfile(source, target)


def _vectors(path: Path, meta: _Meta, progress: Progress | None) -> Iterator[F32]:
    """The embeddings in chunks, checked to be finite and of unit length."""
    embeddings = _open_array(path, (meta.rows, meta.dim))
    for start in range(0, meta.rows, _CHUNK):
        chunk = embeddings[start : start + _CHUNK].astype(np.float32)
        _check_finite(path, chunk, start)
        lengths = np.linalg.norm(chunk, axis=1)
        wrong = np.flatnonzero(np.abs(lengths - 1) > _LENGTH_TOLERANCE)
        if len(wrong):
            row = int(wrong[0])
            raise EmbeddingsRefused(path, f"row {start + row} has length {lengths[row]:.3f}, expected 1")
        yield chunk
        if progress:
            progress(start + len(chunk), meta.rows)


def _open_array(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.float16]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise EmbeddingsRefused(path, f"cannot be read ({error})") from error
    if array.shape != shape or array.dtype != np.float16:
        raise EmbeddingsRefused(path, f"has {array.dtype} {array.shape}, expected float16 {shape}")
    return np.asarray(array)


def _check_finite(path: Path, chunk: npt.NDArray[Any], start: int) -> None:
    finite = np.isfinite(chunk).reshape(len(chunk), -1).all(axis=1)
    if not finite.all():
        raise EmbeddingsRefused(path, f"row {start + int(np.argmin(finite))} has values that are not finite")


def _replace(work: Path, target: Path) -> None:
    """Put the new folder where the old one is; a folder can only be renamed onto an empty one."""
    if not target.exists():
        work.rename(target)
        return
    old = work.with_suffix(".old")
    target.rename(old)
    work.rename(target)
    shutil.rmtree(old, ignore_errors=True)
