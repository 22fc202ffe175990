"""``index.json``: what an index folder holds, with the checksum of every file.

The files themselves lie in a folder beside it that is named after the version, so that replacing
``index.json`` swaps them all at once.
"""

from __future__ import annotations

import hashlib
import json
from math import inf
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from artifacts.bundle.manifest import FileEntry, file_entry
from common.errors import MrseError
from index.port import AttributeKind

MANIFEST_NAME = "index.json"
VECTORS_NAME = "vectors.f16"
IDS_NAME = "ids.arrow"
ATTRIBUTES_NAME = "attributes.arrow"
FEATURES_NAME = "features.npy"
FILE_NAMES = (VECTORS_NAME, IDS_NAME, ATTRIBUTES_NAME, FEATURES_NAME)
#: Beside them, where the vectors are clustered.
LISTS_NAME = "lists.npz"

#: For each 1 that an older index multiplied its lists' spreads by, the reach at which it finds as much, for
#: few and for many results. *Inferred*, measured at 1M rows and 200 results: 4.5, 4.7 and 5.2 for 1.4, 1.5
#: and 1.7; and for 10 results a third more.
SPREAD_REACH = (4.3, 3.3)

#: How the vectors are searched: all of them, or the lists that may hold results.
IndexKind = Literal["flat_fp16", "ivf_fp16"]


class IndexDamaged(MrseError, ValueError):  # noqa: N818 -- the state of a folder
    """An index folder that cannot be served; ``file`` says which file, the message what is wrong."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file


class Probing(BaseModel):
    """How the lists are searched, and what recall that was measured to give; kept in ``index.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lists: int
    #: See `probe.Reaches`; calibrated when the index is built.
    reach: tuple[float, float] | None = None
    even_reach: tuple[float, float] | None = None
    uneven_reach: tuple[float, float] | None = None
    #: What an index has instead that was built when a search estimated its misses.
    spread: float | None = None
    filtered_spread: float | None = None
    miss: float | None = None
    #: Mean recall of the k best against exact search, by kind of filter.
    k: int
    recall: dict[str, float]

    @property
    def reaches(self) -> tuple[tuple[float, float], ...]:
        """What `probe.Reaches` is made of."""
        if self.reach is not None and self.even_reach is not None and self.uneven_reach is not None:
            return self.reach, self.even_reach, self.uneven_reach
        return _reach(self.spread), _reach(self.filtered_spread), _reach(self.filtered_spread)

    @model_serializer(mode="wrap")
    def _as_it_was(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the fields that it does not have: the version of an index is a digest of this."""
        fields: dict[str, Any] = write(self)
        return {name: value for name, value in fields.items() if value is not None}


def _reach(spread: float | None) -> tuple[float, float]:
    few, many = SPREAD_REACH
    return (inf, inf) if spread is None else (few * spread, many * spread)


class IndexManifest(BaseModel):
    """The whole of ``index.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    engine: Literal["embedded"] = "embedded"
    kind: IndexKind = "flat_fp16"
    index_version: str = ""
    bundle_version: str
    #: Fingerprint of the catalogue that was embedded.
    data: str = ""
    #: The last change that the files include; later ones are in the log.
    sequence: int = Field(default=0, ge=0)
    #: Changes that rebuilds wrote into the files: the embeddings that were built from do not hold them.
    changes: int = Field(default=0, ge=0)
    rows: int = Field(ge=1)
    dim: int = Field(ge=1)
    experts: int = Field(ge=1)
    expert_dim: int = Field(ge=1)
    attributes: dict[str, AttributeKind]
    #: Of an ``ivf_fp16`` index.
    probing: Probing | None = None
    files: dict[str, FileEntry]

    @model_serializer(mode="wrap")
    def _as_it_was(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the changes where there are none, as before they were counted: see `Probing`."""
        fields: dict[str, Any] = write(self)
        return {name: value for name, value in fields.items() if value or name != "changes"}

    @property
    def folder(self) -> str:
        """Name of the folder that holds the files."""
        return f"base-{self.index_version.rpartition('.')[2]}"

    @property
    def file_names(self) -> tuple[str, ...]:
        """The files that make up the base."""
        return FILE_NAMES if self.probing is None else (*FILE_NAMES, LISTS_NAME)

    def versioned(self) -> IndexManifest:
        """The same manifest with the version that its content asks for: bundle and 8 hex digits."""
        digest = hashlib.sha256(self.model_copy(update={"index_version": ""}).to_json().encode()).hexdigest()
        return self.model_copy(update={"index_version": f"{self.bundle_version}.{digest[:8]}"})

    def to_json(self) -> str:
        """The one way of writing it: sorted keys, so that equal indexes are equal bytes."""
        return json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read_manifest(folder: Path, *, verify: bool = True) -> IndexManifest:
    """Read and check an index folder.

    Args:
        folder: the index folder.
        verify: compare every file's sha256, which reads them all (and so warms the page cache);
            without it presence and size alone.

    Raises:
        IndexDamaged: a file is missing, unreadable or not the one that was built.
    """
    path = folder / MANIFEST_NAME
    try:
        manifest = IndexManifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise IndexDamaged(path, f"cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise IndexDamaged(path, f"is not an index manifest ({error.errors()[0]['msg']})") from error
    if (manifest.kind == "ivf_fp16") != (manifest.probing is not None):
        raise IndexDamaged(path, f"is of kind {manifest.kind}, which its probing does not fit")
    if manifest.versioned().index_version != manifest.index_version:
        raise IndexDamaged(path, f"does not add up to its version {manifest.index_version}")
    for name in manifest.file_names:
        _check_file(folder / manifest.folder / name, manifest.files.get(name), verify=verify)
    return manifest


def _check_file(path: Path, entry: FileEntry | None, *, verify: bool) -> None:
    if entry is None:
        raise IndexDamaged(path, "is not in the manifest")
    try:
        size = path.stat().st_size
    except OSError as error:
        raise IndexDamaged(path, f"cannot be read ({error.strerror})") from error
    if size != entry.bytes:
        raise IndexDamaged(path, f"has {size} bytes, the manifest says {entry.bytes}")
    if verify and file_entry(path) != entry:
        raise IndexDamaged(path, "has another checksum than the manifest")
