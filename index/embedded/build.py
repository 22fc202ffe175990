"""From an embeddings folder to an index folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, Field, ValidationError

from index.embedded.attributes import Column
from index.embedded.base import CLUSTER_ROWS, BaseSource, write_base
from index.embedded.clusters import Progress, RowsOf
from index.embedded.columns import attribute_column, category_column
from index.embedded.ids import DuplicateId
from index.embedded.manifest import MANIFEST_NAME, IndexManifest
from index.embedded.store import install, refuse_changes, working_folder, write_lock
from index.embedded.vectors import I64, LENGTH_TOLERANCE
from index.filters import CATEGORY
from index.port import F16, AttributeKind

M = TypeVar("M", bound=BaseModel)


class EmbeddingsRefused(ValueError):  # noqa: N818 -- the state of a folder
    """An embeddings folder that no index can be built from; ``file`` says which file is wrong."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file


class EmbeddingsMeta(BaseModel):
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


def build_index(
    embeddings: Path,
    target: Path,
    progress: Progress = lambda done, total: None,
    *,
    cluster_rows: int = CLUSTER_ROWS,
    drop_changes: bool = False,
) -> IndexManifest:
    """Build an index folder; readers see the old one or the new one, never half of one.

    The same embeddings give the same bytes and so the same version. Rows stand in the order of the
    embeddings, or list by list where they are clustered.

    Args:
        embeddings: a folder with ``meta.json``, ``schema.json``, ``embeddings.npy``, ``features.npy``
            and ``items.parquet``.
        target: the index folder; an index that is there is replaced. Who has it open moves to the new
            one, if its bundle and attributes are the same, else keeps it.
        progress: called with the vectors done and all vectors, of every pass.
        cluster_rows: from this many rows on vectors are clustered, and a search probes lists.
        drop_changes: replace an index although changes were made to it, which are lost.

    Raises:
        ChangesHeld: changes were made to the index that is there, and ``drop_changes`` is not set.
        EmbeddingsRefused: a file is missing, or its content is not what the others say.
        FileExistsError: the target is there and is no index.
    """
    if target.exists() and not (target / MANIFEST_NAME).is_file() and any(target.iterdir()):
        raise FileExistsError(f"{target} is there and is no index folder")
    if not drop_changes:
        refuse_changes(target)  # before the work; and once more when nobody can make any
    meta, schema = (
        _read_json(embeddings / "meta.json", EmbeddingsMeta),
        _read_json(embeddings / "schema.json", _Schema),
    )
    items = embeddings / "items.parquet"
    with _open_items(items, meta) as table:
        source = BaseSource(
            bundle_version=meta.bundle_version,
            data=meta.data,
            rows=meta.rows,
            dim=meta.dim,
            experts=meta.experts,
            expert_dim=meta.expert_dim,
            sequence=0,
            ids=_ids(items, table),
            attributes=_attributes(embeddings / "schema.json", schema),
            column=_columns(items, table, schema),
            vectors=_vectors(embeddings / "embeddings.npy", meta),
            features=_features(embeddings / "features.npy", meta),
        )
        with working_folder(target) as work:
            try:
                manifest = write_base(source, work, cluster_rows=cluster_rows, progress=progress)
            except DuplicateId as error:
                raise EmbeddingsRefused(items, str(error)) from error
            with write_lock(target):
                if not drop_changes:
                    refuse_changes(target)
                return install(target, work, manifest, after_log=True)


def open_embeddings(folder: Path) -> tuple[EmbeddingsMeta, RowsOf, RowsOf]:
    """What an embeddings folder says of itself, its vectors and its features, checked as they are read.

    Raises:
        EmbeddingsRefused: a file is missing, or its content is not what the others say.
    """
    meta = _read_json(folder / "meta.json", EmbeddingsMeta)
    _open_items(folder / "items.parquet", meta).close()
    return meta, _vectors(folder / "embeddings.npy", meta), _features(folder / "features.npy", meta)


def _read_json(path: Path, model: type[M]) -> M:
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise EmbeddingsRefused(path, f"cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise EmbeddingsRefused(path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _open_items(path: Path, meta: EmbeddingsMeta) -> pq.ParquetFile:
    try:
        items = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise EmbeddingsRefused(path, f"cannot be read as Parquet ({error})") from error
    if items.metadata.num_rows != meta.rows:
        rows = items.metadata.num_rows
        items.close()
        raise EmbeddingsRefused(path, f"has {rows} rows, meta.json says {meta.rows}")
    return items


def _read_column(path: Path, items: pq.ParquetFile, name: str) -> Any:
    if name not in items.schema_arrow.names:
        raise EmbeddingsRefused(path, f"has no column {name!r}")
    return items.read(columns=[name]).column(0).combine_chunks()


def _ids(path: Path, items: pq.ParquetFile) -> Any:
    ids = _read_column(path, items, "id").cast(pa.large_string())
    if ids.null_count:
        raise EmbeddingsRefused(path, f"has {ids.null_count} rows without an id")
    return ids


def _attributes(path: Path, schema: _Schema) -> dict[str, AttributeKind]:
    if reserved := {"id", CATEGORY} & schema.attributes.keys():
        raise EmbeddingsRefused(path, f"{reserved} cannot be attributes")
    return {**schema.attributes, CATEGORY: "list"}


def _columns(path: Path, items: pq.ParquetFile, schema: _Schema) -> Callable[[str, I64 | None], Column]:
    """Reads one column at a time, when it is asked for."""

    def column(name: str, order: I64 | None) -> Column:
        values = _read_column(path, items, name)
        if order is not None:
            values = values.take(pa.array(order))
        if name == CATEGORY:
            return category_column(values.cast(pa.large_string()))
        try:
            return attribute_column(schema.attributes[name], values)
        except ValueError as error:
            raise EmbeddingsRefused(path, f"column {name!r} {error}") from error

    return column


def _vectors(path: Path, meta: EmbeddingsMeta) -> RowsOf:
    """The embeddings of some rows, checked to be finite and of unit length."""
    embeddings = _open_array(path, (meta.rows, meta.dim))

    def vectors(rows: I64) -> F16:
        chunk = embeddings[rows]
        _check_finite(path, chunk, rows)
        lengths = np.linalg.norm(chunk.astype(np.float32), axis=1)
        wrong = np.flatnonzero(np.abs(lengths - 1) > LENGTH_TOLERANCE)
        if len(wrong):
            place = int(wrong[0])
            reason = f"row {int(rows[place])} has length {lengths[place]:.3f}, expected 1"
            raise EmbeddingsRefused(path, reason)
        return chunk

    return vectors


def _features(path: Path, meta: EmbeddingsMeta) -> RowsOf:
    features = _open_array(path, (meta.rows, meta.experts, meta.expert_dim))

    def rows_of(rows: I64) -> F16:
        chunk = features[rows]
        _check_finite(path, chunk, rows)
        return chunk

    return rows_of


def _open_array(path: Path, shape: tuple[int, ...]) -> F16:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise EmbeddingsRefused(path, f"cannot be read ({error})") from error
    if array.shape != shape or array.dtype != np.float16:
        raise EmbeddingsRefused(path, f"has {array.dtype} {array.shape}, expected float16 {shape}")
    return np.asarray(array)


def _check_finite(path: Path, chunk: F16, rows: I64) -> None:
    finite = np.isfinite(chunk).reshape(len(chunk), -1).all(axis=1)
    if not finite.all():
        row = int(rows[int(np.argmin(finite))])
        raise EmbeddingsRefused(path, f"row {row} has values that are not finite")
