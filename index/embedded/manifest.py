"""``index.json``: what an index folder holds, with the checksum of every file.

The files themselves lie in a folder beside it that is named after the version, so that replacing
``index.json`` swaps them all at once.
"""

from __future__ import annotations

import hashlib
import json
from math import log
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from artifacts.attributes import AttributeKind
from artifacts.bundle.manifest import FileEntry, file_entry
from common.errors import MrseError
from common.hints import absent

MANIFEST_NAME = "index.json"
VECTORS_NAME = "vectors.f16"
IDS_NAME = "ids.arrow"
ATTRIBUTES_NAME = "attributes.arrow"
FEATURES_NAME = "features.npy"
FILE_NAMES = (VECTORS_NAME, IDS_NAME, ATTRIBUTES_NAME, FEATURES_NAME)
#: Beside them, where the vectors are clustered.
LISTS_NAME = "lists.npz"
#: Beside them, where items are found by words.
TEXTS_NAME = "texts.arrow"
WORDS_NAME = "words.arrow"
#: The picture features, in rows of their own; the row of the base of each; and their lists, where they are
#: clustered.
PICTURES_NAME = "pictures.f16"
PICTURE_ROWS_NAME = "picture_rows.npy"
PICTURE_LISTS_NAME = "picture_lists.npz"
#: The latest format of an index folder.
_NEWEST = 3
#: Keys that a later format brought, left out where they say nothing: older folders keep their version.
_ADDED = ("texts", "pictures")
#: Numbers of results that the reach of lists is calibrated for.
FEW, MANY = 10, 200


class IndexDamaged(MrseError, ValueError):  # noqa: N818 -- the state of a folder
    """An index folder that cannot be served; ``file`` says which file, the message what is wrong."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason


class Reach(NamedTuple):
    """How far above its mean's score a list's vectors may score, in spreads of the list.

    One for a search of `FEW` results and one for `MANY`. With fewer results the reach is longer, since more
    rows are to be ruled out for each of them.
    """

    few: float
    many: float

    def at(self, k: int) -> float:
        """For ``k`` results: interpolated by their logarithm, and constant outside `FEW` to `MANY`."""
        if k >= MANY or self.few == self.many:
            return self.many
        return self.few + (self.many - self.few) * log(max(k, FEW) / FEW) / log(MANY / FEW)


class Reaches(NamedTuple):
    """The reach without a filter, with one that is `Selection.even`, and with one that is not."""

    unfiltered: Reach
    even: Reach
    uneven: Reach


class Probing(BaseModel):
    """How the lists are searched, and the recall that was measured when the index was built."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lists: int
    reaches: Reaches
    #: Mean recall of the k best against exact search, by kind of filter.
    k: int
    recall: dict[str, float]


class TextSpec(BaseModel):
    """How items are found by words: of which texts, and how these are cut."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Text fields, in the order in which their words are read.
    fields: tuple[str, ...] = Field(min_length=1)
    #: Language and rules of `artifacts.words`.
    language: str
    rules: int
    #: How many words an item has on average.
    mean_length: float = Field(default=0.0, ge=0)


class Pictures(BaseModel):
    """The picture features of a base: ``rows`` of its items have one, of ``dim`` values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dim: int = Field(ge=1)
    rows: int = Field(default=0, ge=0)
    #: Where they are clustered into lists.
    probing: Probing | None = None

    @property
    def file_names(self) -> tuple[str, ...]:
        """Their files."""
        if not self.rows:
            return ()
        names = (PICTURES_NAME, PICTURE_ROWS_NAME)
        return names if self.probing is None else (*names, PICTURE_LISTS_NAME)


class IndexManifest(BaseModel):
    """The whole of ``index.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Of the whole folder: 1 has the log of `index.embedded.old_log`, 2 that of `index.embedded.log`; 3 holds
    #: what those before cannot: texts, picture features. An index without these is of format 2, which
    #: earlier versions read.
    format: Literal[1, 2, 3] = 2
    engine: Literal["embedded"] = "embedded"
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
    #: Where the vectors are clustered into lists.
    probing: Probing | None = None
    #: Where items are found by words.
    texts: TextSpec | None = None
    #: What a search by pictures reads; None where the index holds no picture features.
    pictures: Pictures | None = None
    files: dict[str, FileEntry] = Field(default_factory=dict)

    @property
    def kind(self) -> str:
        """How the vectors are searched: all of them, or the lists that may hold results."""
        return "flat_fp16" if self.probing is None else "ivf_fp16"

    @property
    def folder(self) -> str:
        """Name of the folder that holds the files."""
        return f"base-{self.index_version.rpartition('.')[2]}"

    @property
    def file_names(self) -> tuple[str, ...]:
        """The files that make up the base."""
        lists = () if self.probing is None else (LISTS_NAME,)
        texts = () if self.texts is None else (TEXTS_NAME, WORDS_NAME)
        pictures = () if self.pictures is None else self.pictures.file_names
        return (*FILE_NAMES, *lists, *texts, *pictures)

    @property
    def picture_dim(self) -> int:
        """Width of a picture feature; 0 where the index holds none."""
        return 0 if self.pictures is None else self.pictures.dim

    def versioned(self) -> IndexManifest:
        """The same manifest with the version that its content asks for: bundle and 8 hex digits."""
        digest = hashlib.sha256(self.model_copy(update={"index_version": ""}).to_json().encode()).hexdigest()
        return self.model_copy(update={"index_version": f"{self.bundle_version}.{digest[:8]}"})

    def to_json(self) -> str:
        """The one way of writing it: sorted keys, so that equal indexes are equal bytes."""
        content = self.model_dump(mode="json")
        content = {key: value for key, value in content.items() if key not in _ADDED or value is not None}
        return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


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
        content = path.read_bytes()
        _check_format(path, content)
        manifest = IndexManifest.model_validate_json(content)
    except OSError as error:
        if (why := absent("index", folder)) is not None:
            raise IndexDamaged(folder, why) from error
        raise IndexDamaged(path, f"cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise IndexDamaged(path, f"is not an index manifest ({error.errors()[0]['msg']})") from error
    if manifest.versioned().index_version != manifest.index_version:
        raise IndexDamaged(path, f"does not add up to its version {manifest.index_version}")
    for name in manifest.file_names:
        _check_file(folder / manifest.folder / name, manifest.files.get(name), verify=verify)
    return manifest


def _check_format(path: Path, content: bytes) -> None:
    """Say of a later format that it is one; what is no manifest at all is told by its validation."""
    try:
        found = json.loads(content)["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    if type(found) is int and found > _NEWEST:
        raise IndexDamaged(
            path, f"has format {found}, this version reads up to {_NEWEST}: a later version of mrse wrote it"
        )


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
