"""Reads an embeddings folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from artifacts.attributes import CATEGORY, AttributeKind
from artifacts.bundle.manifest import Width
from artifacts.popularity import PopularitySpec
from artifacts.words import DEFAULT_LANGUAGE, languages
from common.arrays import F16, I64
from common.errors import MrseError
from common.files import read_bounded
from common.hints import absent

META_NAME = "meta.json"
SCHEMA_NAME = "schema.json"
ITEMS_NAME = "items.parquet"
VECTORS_NAME = "embeddings.npy"
FEATURES_NAME = "features.npy"
TEXTS_NAME = "texts.parquet"
PICTURES_NAME = "pictures.npy"

#: How far a vector's length may be from 1; fp16 alone accounts for 0.001.
LENGTH_TOLERANCE = 0.01

#: Thousands of attributes.
_MAX_JSON_BYTES = 16 << 20

#: Whose behaviours count: those of the train split, or all.
Behaviours = Literal["train", "all"]

M = TypeVar("M", bound=BaseModel)


class EmbeddingsError(MrseError, ValueError):
    """An embeddings folder that cannot be used; ``file`` says which file is wrong."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file


class EmbeddingsMeta(BaseModel):
    """``meta.json``."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    #: Version of the bundle whose item tower made the embeddings.
    bundle_version: str
    rows: int = Field(ge=1, lt=1 << 31)
    #: Width of an embedding.
    dim: Width
    #: Experts of an item's features, and the width of each.
    experts: Width
    expert_dim: Width
    #: Fingerprint of the shop.
    data: str = ""
    #: Whose co-clicks are in the vectors: of the train split, or of all behaviours. The latter are for
    #: serving: they hold what held-out requests ask for, and judge nothing.
    behaviours: Behaviours = "train"
    #: Text fields in ``texts.parquet``; empty where there is no such file.
    text_fields: tuple[str, ...] = ()
    #: Language of the texts' stems, as `artifacts.words` knows it.
    language: str = DEFAULT_LANGUAGE
    #: Width of a picture feature in ``pictures.npy``; 0 where there is no such file.
    picture_dim: int = Field(default=0, ge=0, le=65_536)
    #: How the attribute ``popularity`` was counted; None where it was not, or is the shop's own.
    popularity: PopularitySpec | None = None
    #: Photo searches from which on the photos that led to an item are in its picture feature; 0 for never.
    clicked_photos: int = Field(default=0, ge=0)


class Schema(BaseModel):
    """``schema.json``."""

    model_config = ConfigDict(frozen=True)

    #: Types of the attributes; ``category`` is a column of every folder and none of them.
    attributes: dict[str, AttributeKind]

    @field_validator("attributes")
    @classmethod
    def _no_reserved_names(cls, attributes: dict[str, AttributeKind]) -> dict[str, AttributeKind]:
        if reserved := {"id", CATEGORY} & attributes.keys():
            raise ValueError(f"{reserved} cannot be attributes")
        return attributes


def read_json(path: Path, model: type[M]) -> M:
    """Read and check a JSON file.

    Raises:
        EmbeddingsError: the file is missing or not as the model says.
    """
    try:
        return model.model_validate_json(read_bounded(path, _MAX_JSON_BYTES))
    except OSError as error:
        if path.name == META_NAME and (why := absent("embeddings", path.parent)) is not None:
            raise EmbeddingsError(path.parent, why) from error
        raise EmbeddingsError(path, f"cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        raise EmbeddingsError(path, f"{where}: {first['msg']}") from error


@dataclass(frozen=True)
class EmbeddingsFolder:
    """An embeddings folder. Opening it reads ``meta.json`` and ``schema.json``, the rest is read when used.

    Every method and property raises `EmbeddingsError` where a file is missing or is not what the others say.
    """

    path: Path
    meta: EmbeddingsMeta
    #: Types of the attributes, without ``category``.
    attributes: Mapping[str, AttributeKind]

    @classmethod
    def open(cls, path: Path) -> EmbeddingsFolder:
        """Read what the folder says of itself.

        Raises:
            EmbeddingsError: ``meta.json`` or ``schema.json`` is missing or not as it should be.
        """
        meta = read_json(path / META_NAME, EmbeddingsMeta)
        return cls(path, meta, read_json(path / SCHEMA_NAME, Schema).attributes)

    @property
    def items_file(self) -> Path:
        """Path of ``items.parquet``, for messages about its content."""
        return self.path / ITEMS_NAME

    @cached_property
    def vectors(self) -> F16:
        """The embeddings: float16 ``[rows, dim]``, memory-mapped."""
        return _open_array(self.path / VECTORS_NAME, (self.meta.rows, self.meta.dim))

    @cached_property
    def features(self) -> F16:
        """The item features: float16 ``[rows, experts, expert_dim]``, memory-mapped."""
        shape = (self.meta.rows, self.meta.experts, self.meta.expert_dim)
        return _open_array(self.path / FEATURES_NAME, shape)

    @property
    def texts_file(self) -> Path | None:
        """Path of ``texts.parquet`` (``id`` and a column for each text field); None where there is none."""
        return self.path / TEXTS_NAME if self.meta.text_fields else None

    @cached_property
    def pictures(self) -> F16 | None:
        """The picture features: float16 ``[rows, picture_dim]``, memory-mapped; None where there are none.

        A row is of unit length before rounding, or zeros where the item has no picture.
        """
        if not self.meta.picture_dim:
            return None
        return _open_array(self.path / PICTURES_NAME, (self.meta.rows, self.meta.picture_dim))

    def checked_pictures(self, rows: I64) -> F16:
        """The picture features of some rows, checked to be finite and of unit length, or zeros."""
        path = self.path / PICTURES_NAME
        pictures = self.pictures
        if pictures is None:
            raise EmbeddingsError(path, "is not part of this folder")
        chunk = pictures[rows]
        _check_finite(path, chunk, rows)
        lengths = np.linalg.norm(chunk.astype(np.float32), axis=1)
        wrong = np.flatnonzero((np.abs(lengths - 1) > LENGTH_TOLERANCE) & (lengths != 0))
        if len(wrong):
            place = int(wrong[0])
            length, row = lengths[place], int(rows[place])
            raise EmbeddingsError(path, f"row {row} has length {length:.3f}, expected 1, or 0 for no picture")
        return chunk

    def checked_vectors(self, rows: I64) -> F16:
        """The embeddings of some rows, checked to be finite and of unit length."""
        path = self.path / VECTORS_NAME
        chunk = self.vectors[rows]
        _check_finite(path, chunk, rows)
        lengths = np.linalg.norm(chunk.astype(np.float32), axis=1)
        wrong = np.flatnonzero(np.abs(lengths - 1) > LENGTH_TOLERANCE)
        if len(wrong):
            place = int(wrong[0])
            raise EmbeddingsError(path, f"row {int(rows[place])} has length {lengths[place]:.3f}, expected 1")
        return chunk

    def checked_features(self, rows: I64) -> F16:
        """The features of some rows, checked to be finite."""
        chunk = self.features[rows]
        _check_finite(self.path / FEATURES_NAME, chunk, rows)
        return chunk

    def column(self, name: str) -> Any:
        """A column of the items file as a pyarrow array: ``id``, ``category`` or an attribute."""
        with self._parquet(self.items_file, [name]) as file:
            return file.read(columns=[name]).column(0).combine_chunks()

    def id_column(self) -> Any:
        """Item ids in row order, as a pyarrow array of strings; none is null."""
        import pyarrow as pa

        ids = self.column("id").cast(pa.large_string())
        if ids.null_count:
            raise EmbeddingsError(self.items_file, f"has {ids.null_count} rows without an id")
        return ids

    def ids(self) -> list[str]:
        """Item ids in row order."""
        ids: list[str] = self.id_column().to_pylist()
        return ids

    def batches(self, columns: Sequence[str], rows: int) -> Iterator[dict[str, list[Any]]]:
        """The values of some columns of the items file by name, that many rows at a time, in row order."""
        with self._parquet(self.items_file, columns) as file:
            for batch in file.iter_batches(rows, columns=list(columns)):
                yield batch.to_pydict()

    def texts(self, rows: int) -> Iterator[list[dict[str, str]]]:
        """The texts of each item by field, that many rows at a time, in row order, without empty ones."""
        fields = list(self.meta.text_fields)
        with self._parquet(self._checked_texts(), fields) as file:
            for batch in file.iter_batches(rows, columns=fields):
                yield [{name: str(text) for name, text in row.items() if text} for row in batch.to_pylist()]

    def text_columns(self) -> dict[str, Any]:
        """All texts by field, as pyarrow arrays of strings in row order."""
        import pyarrow as pa

        fields = list(self.meta.text_fields)
        with self._parquet(self._checked_texts(), fields) as file:
            table = file.read(columns=fields)
        return {name: table[name].cast(pa.large_string()).combine_chunks() for name in fields}

    def _checked_texts(self) -> Path:
        if (path := self.texts_file) is None:
            raise EmbeddingsError(self.path / TEXTS_NAME, "is not part of this folder")
        if self.meta.language not in languages():
            reason = f"language is {self.meta.language!r}, expected one of {', '.join(languages())}"
            raise EmbeddingsError(self.path / META_NAME, reason)
        return path

    @contextmanager
    def _parquet(self, path: Path, columns: Sequence[str]) -> Iterator[Any]:
        """A Parquet file of the folder, checked to have all rows and these columns."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as file:
                if (found := file.metadata.num_rows) != self.meta.rows:
                    raise EmbeddingsError(path, f"has {found} rows, {META_NAME} says {self.meta.rows}")
                for name in columns:
                    if name not in file.schema_arrow.names:
                        raise EmbeddingsError(path, f"has no column {name!r}")
                yield file
        except EmbeddingsError:
            raise
        except (OSError, pa.ArrowException, UnicodeDecodeError, MemoryError) as error:
            raise EmbeddingsError(path, f"cannot be read as Parquet ({error})") from error


def _open_array(path: Path, shape: tuple[int, ...]) -> F16:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise EmbeddingsError(path, f"cannot be read ({error})") from error
    if array.shape != shape or array.dtype != np.float16:
        raise EmbeddingsError(path, f"has {array.dtype} {array.shape}, expected float16 {shape}")
    return np.asarray(array)


def _check_finite(path: Path, chunk: F16, rows: I64) -> None:
    finite = np.isfinite(chunk).reshape(len(chunk), -1).all(axis=1)
    if not finite.all():
        row = int(rows[int(np.argmin(finite))])
        raise EmbeddingsError(path, f"row {row} has values that are not finite")
