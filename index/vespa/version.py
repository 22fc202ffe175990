"""One embedding version: the document type that holds it, and what its items can be filtered by.

A package folder has a file for each of its versions; the package is rendered from these.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args

from artifacts.attributes import CATEGORY, AttributeKind
from artifacts.popularity import POPULARITY
from common.errors import MrseError
from common.files import replace_text
from index.vespa import names
from index.vespa.words import TextSpec

if TYPE_CHECKING:
    from artifacts.embeddings import EmbeddingsFolder

#: What the graph of a version is over: the embeddings as they are kept, or int8 in memory, with the
#: embeddings on disk to score what it finds.
VectorKind: TypeAlias = Literal["bfloat16", "int8"]


class VersionError(MrseError, ValueError):
    """A version that cannot be added, dropped, found or read."""


@dataclass(frozen=True, slots=True)
class Version:
    """One embedding version; ``category``, a list of path prefixes, is always among its attributes."""

    bundle_version: str
    #: Width of the embeddings.
    dimension: int
    attributes: Mapping[str, AttributeKind]
    #: How its items are found by words; None where they are not.
    texts: TextSpec | None = None
    #: What the package offers to queries, see `names.PROFILES`; rendering brings it up to date.
    profiles: int = field(default=names.PROFILES, compare=False)
    #: Width of the picture features; 0 where its items are not found by pictures.
    picture_dim: int = 0
    #: Whether it keeps titles, which take memory on every content node.
    titles: bool = field(default=False, compare=False)

    #: Experts and width of the item features that it keeps, for histories; None where Redis does.
    features: tuple[int, int] | None = field(default=None, compare=False)
    #: What its graph is over. Another kind is another document type, so both may stand side by side.
    vectors: VectorKind = "bfloat16"

    def __post_init__(self) -> None:
        if self.vectors not in get_args(VectorKind):
            raise VersionError(f"{self.bundle_version}: vectors are bfloat16 or int8, not {self.vectors!r}")
        unknown = {kind for kind in self.attributes.values() if kind not in names.FIELD_TYPES}
        if unknown:
            raise VersionError(f"{self.bundle_version}: attribute types {sorted(unknown)} are not known")
        if self.attributes.get(CATEGORY, "list") != "list":
            raise VersionError(
                f"{self.bundle_version}: category is a list of prefixes, found {self.attributes[CATEGORY]}"
            )
        if self.dimension < 1:
            raise VersionError(f"{self.bundle_version}: dimension {self.dimension}, at least 1 was expected")
        attributes: dict[str, AttributeKind] = {CATEGORY: "list", **self.attributes}
        object.__setattr__(self, "attributes", MappingProxyType(dict(sorted(attributes.items()))))

    @classmethod
    def from_embeddings(cls, folder: EmbeddingsFolder) -> Version:
        """The version whose items an embeddings folder holds."""
        meta = folder.meta
        texts = TextSpec(meta.text_fields, meta.language) if meta.text_fields else None
        return cls(meta.bundle_version, meta.dim, folder.attributes, texts, picture_dim=meta.picture_dim)

    @property
    def popular(self) -> bool:
        """Whether it lists items by how popular they are."""
        return self.attributes.get(POPULARITY) == "number" and self.profiles >= 3

    @property
    def document_type(self) -> str:
        """The document type that holds it."""
        plain = names.document_type(self.bundle_version)
        # A client that knows nothing of other kinds refuses a file of this name.
        return plain if self.vectors == "bfloat16" else f"{plain}_{self.vectors}"

    def to_json(self) -> str:
        """The version file, read by the client."""
        content: dict[str, Any] = {
            "document_type": self.document_type,
            "bundle_version": self.bundle_version,
            "dimension": self.dimension,
            "attributes": dict(self.attributes),
            "profiles": self.profiles,
        }
        if self.texts is not None:
            content["texts"] = self.texts.to_json()
        if self.picture_dim:
            content["picture_dim"] = self.picture_dim
        if self.titles:
            content["titles"] = True
        if self.features is not None:
            content["features"] = list(self.features)
        if self.vectors != "bfloat16":
            content["vectors"] = self.vectors
        return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> Version:
        """The version of a file that `to_json` wrote.

        Raises:
            VersionError: it cannot be read, or is no such file.
        """
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            version = cls(
                bundle_version=str(raw["bundle_version"]),
                dimension=int(raw["dimension"]),
                attributes=cast("Mapping[str, AttributeKind]", dict(raw["attributes"])),
                texts=TextSpec.from_json(raw["texts"]) if "texts" in raw else None,
                profiles=int(raw.get("profiles", 1)),
                picture_dim=int(raw.get("picture_dim", 0)),
                titles=raw.get("titles") is True,
                vectors=raw.get("vectors", "bfloat16"),
                features=_shape(raw.get("features")),
            )
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise VersionError(f"{path}: no version file: {error}") from error
        if raw.get("document_type") != version.document_type:
            found = raw.get("document_type")
            raise VersionError(f"{path}: document_type is {found!r}, {version.document_type!r} was expected")
        return version


def _shape(raw: Any) -> tuple[int, int] | None:
    if raw is None:
        return None
    experts, width = map(int, raw)
    if experts < 1 or width < 1:
        raise ValueError(f"features of shape {experts}, {width}")
    return experts, width


def read_versions(folder: Path) -> list[Version]:
    """The versions of a package folder, by document type; empty where there is none.

    Raises:
        VersionError: a damaged file, with its path.
    """
    return [Version.read(path) for path in sorted((folder / "versions").glob("*.json"))]


def find_version(folder: Path, name: str, vectors: VectorKind | None = None) -> Version:
    """The version of a package folder with this document type or bundle version.

    ``vectors`` tells those of the same bundle apart.

    Raises:
        VersionError: there is none, or there are several of the bundle; or a damaged file.
    """
    versions = read_versions(folder)
    found = [each for each in versions if name in (each.document_type, each.bundle_version)]
    found = [each for each in found if vectors in (None, each.vectors)]
    if len(found) > 1:
        several = ", ".join(version.document_type for version in found)
        raise VersionError(f"{folder} has {several} of {name!r}: say which, by --vectors or by its name")
    if found:
        return found[0]
    if not versions:
        raise VersionError(f"{folder} holds no version; `mrse vespa add-version` adds one")
    known = ", ".join(version.document_type for version in versions)
    raise VersionError(f"{folder} has no version {name!r}; it has {known}")


def write_versions(folder: Path, versions: list[Version]) -> None:
    """Make the version files those of ``versions``."""
    target = folder / "versions"
    target.mkdir(parents=True, exist_ok=True)
    current = [replace(version, profiles=names.PROFILES) for version in versions]
    wanted = {f"{version.document_type}.json": version.to_json() for version in current}
    for name, text in wanted.items():
        replace_text(target / name, text)
    for path in target.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
