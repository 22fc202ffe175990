"""``manifest.json``: what a bundle holds, with the checksum of every file.

The manifest is the contract between training and serving. Its version is derived from its content
(``<name>-<8 hex digits>``), so two bundles that differ in a byte never share a version, and cache
keys and indexes that carry the version cannot be mixed up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MANIFEST_NAME = "manifest.json"
CANONICAL_NAME = "canonical.npz"
TOKENIZER_NAME = "tokenizer.json"
#: Of the manifest. A key may come to it with a default that says what was done before; else it counts up.
FORMAT: Literal[2] = 2

#: What a graph does; a role points to one file for each precision, and two roles may share a file.
Role = Literal["query_experts", "item_experts", "query_fusion", "item_fusion", "image_encoder"]
ROLES: tuple[Role, ...] = ("query_experts", "item_experts", "query_fusion", "item_fusion", "image_encoder")
Precision = Literal["fp32", "fp16", "int8"]


#: Of a vector, and of a sequence: far above every model, far below what memory holds.
Width = Annotated[int, Field(ge=1, le=65_536)]
Length = Annotated[int, Field(ge=1, le=65_536)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TextSpec(_Frozen):
    """How text becomes ids. All values are *inferred*: the paper gives none of them."""

    #: Tokens of a query that Light-Bert reads; what follows is cut.
    max_query_tokens: Length = 24
    #: Tokens of an item's text that it reads.
    max_item_tokens: Length = 48
    #: Words of a query that FtAtt reads.
    max_query_words: Length = 16
    #: Words of an item's text that FtAtt reads.
    max_item_words: Length = 40
    #: N-grams of a word, at most.
    ngrams_per_word: Length = 20
    #: Letters of the shortest n-gram.
    ngram_min: Length = 3
    #: Letters of the longest n-gram.
    ngram_max: Length = 5
    #: Rows of the hashed n-gram table; row 0 is padding.
    ngram_buckets: int = Field(default=8192, ge=2, le=1 << 28)


class PictureSpec(_Frozen):
    """How a picture becomes pixels: RGB, letterboxed on white to ``side`` x ``side``, uint8."""

    #: Pixels of a side.
    side: int = Field(default=64, ge=1, le=2048)
    #: Width of the feature that the image encoder makes of a picture.
    feature_dim: Width = 128


class Dimensions(_Frozen):
    """Sizes that graphs, caches and indexes share."""

    #: Experts in the order of the ``[E, d]`` axis.
    experts: tuple[str, ...] = Field(min_length=1, max_length=64)
    #: Width ``d`` of one expert's output.
    expert_dim: Width = 64
    #: Width of the query and item embeddings.
    embedding_dim: Width = 128
    #: Behaviours ``K`` kept in a portrait, most recent first.
    history: Length = 20

    @property
    def shape(self) -> tuple[int, int]:
        """Experts and width of what they say of one query or item: ``(E, d)``."""
        return len(self.experts), self.expert_dim


class CoClickSpec(_Frozen):
    """How the items that go with an item are counted from the log."""

    #: Items kept for an item.
    top: int
    #: Behaviours of a visit after each one that are paired with it, at most.
    following: int
    #: Whether pairs weigh by the cosine of the two items' behaviours; otherwise by how often they are seen.
    cosine: bool


class Preprocessing(_Frozen):
    """What embedding and evaluation must do with a shop's log as training did. All values are *inferred*."""

    #: Share of the newest behaviours that is val, and again that is test, where the file marks no split.
    held_out: float
    #: Behaviours on the wanted item itself within this many days before are left out of the history.
    same_item_days: float
    #: Behaviours for the same words and picture within this many minutes before are of the same search, and
    #: left out: when it was sent they had not happened. A service never sees them, so it cuts nothing.
    same_search_minutes: float = 0.0
    #: Whether several actions on one item take one place in a history, that of the last of them.
    one_slot: bool = False
    coclicks: CoClickSpec


class FileEntry(_Frozen):
    """One file of the bundle."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class Manifest(_Frozen):
    """The whole of ``manifest.json``."""

    format: Literal[2] = FORMAT
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.]{0,47}$")
    version: str
    dimensions: Dimensions
    text: TextSpec
    picture: PictureSpec
    #: Behaviour types in the order of their ids, which start at 1; 0 is an empty slot.
    behaviours: tuple[str, ...]
    files: dict[str, FileEntry]
    graphs: dict[Role, dict[Precision, str]]
    #: Figures measured at export, such as ``max_abs_diff_fp32`` and ``min_cosine_int8``.
    parity: dict[str, float] = Field(default_factory=dict)
    preprocessing: Preprocessing
    #: The configuration that it was trained with: a record for people and reports.
    training: dict[str, Any] = Field(default_factory=dict)
    #: Fingerprint of the data that it was trained on.
    data: str = ""

    def versioned(self) -> Manifest:
        """The same manifest with the version that belongs to its content."""
        return self.model_copy(update={"version": content_version(self.model_dump(mode="json"))})

    def to_json(self) -> str:
        """The manifest as text."""
        return canonical(self.model_dump(mode="json"))


def canonical(content: Mapping[str, Any]) -> str:
    """A manifest's content as text. Keys are sorted, so that equal bundles are equal bytes."""
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def content_version(content: Mapping[str, Any]) -> str:
    """The version that belongs to the content: the name and 8 hex digits over everything else.

    It is made of what the file says. A key that came to the format later is not in an older bundle, whose
    version stays what it was.
    """
    text = canonical({**content, "version": ""})
    return f"{content['name']}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def file_entry(path: Path) -> FileEntry:
    """Checksum and size of a file, read in chunks."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
    return FileEntry(sha256=digest.hexdigest(), bytes=path.stat().st_size)
