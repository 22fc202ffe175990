"""The embedding versions of a package: adding one, dropping one.

Adding and dropping rewrite the whole package from the version files, so that what is deployed never
depends on what was there before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

<<<<<<< HEAD
from common.errors import MrseError
from index.port import AttributeKind
from index.vespa import names

VERSIONS: Final = "versions"
#: Always filterable: the prefixes of the category path.
CATEGORY: Final = "category"
#: Vespa refuses overrides further ahead than 30 days.
OVERRIDE_DAYS: Final = 7


class VersionError(MrseError, ValueError):
    """A version that cannot be added, dropped or read."""


@dataclass(frozen=True, slots=True)
class Version:
    """One embedding version and what its items can be filtered by; ``category`` is always there."""

    bundle_version: str
    dimension: int
    attributes: Mapping[str, AttributeKind]

    def __post_init__(self) -> None:
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

    @property
    def document_type(self) -> str:
        """The document type that holds it."""
        return names.document_type(self.bundle_version)

    def to_json(self) -> str:
        """The version file, read by the client."""
        content = {
            "document_type": self.document_type,
            "bundle_version": self.bundle_version,
            "dimension": self.dimension,
            "attributes": dict(self.attributes),
        }
        return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Version:
        """Inverse of `to_json`.

        Raises:
            VersionError: not such a file.
        """
        try:
            raw = json.loads(text)
            version = cls(
                bundle_version=str(raw["bundle_version"]),
                dimension=int(raw["dimension"]),
                attributes=cast("Mapping[str, AttributeKind]", dict(raw["attributes"])),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise VersionError(f"no version file: {error}") from error
        if raw.get("document_type") != version.document_type:
            raise VersionError(
                f"document_type is {raw.get('document_type')!r}, {version.document_type!r} was expected"
            )
        return version
=======
from common.files import replace_text
from index.vespa.version import Version, VersionError

VERSIONS: Final = "versions"
>>>>>>> 5d68594 (Vespa: one Version, endpoints as settings of their own; commands share their options once)


def read_versions(folder: Path) -> list[Version]:
    """The versions of a package folder, by document type; empty where there is none.

    Raises:
        VersionError: a damaged file, with its path.
    """
    return [Version.read(path) for path in sorted((folder / VERSIONS).glob("*.json"))]


def find_version(folder: Path, name: str) -> Version:
    """The version of a package folder with this document type or bundle version.

    Raises:
        VersionError: there is none, or a damaged file.
    """
    versions = read_versions(folder)
    for version in versions:
        if name in (version.document_type, version.bundle_version):
            return version
    if not versions:
        raise VersionError(f"{folder} holds no version; `mrse vespa add-version` adds one")
    known = ", ".join(version.document_type for version in versions)
    raise VersionError(f"{folder} has no version {name!r}; it has {known}")


def write_versions(folder: Path, versions: list[Version]) -> None:
    """Make the version files those of ``versions``."""
    target = folder / VERSIONS
    target.mkdir(parents=True, exist_ok=True)
    wanted = {f"{version.document_type}.json": version.to_json() for version in versions}
    for name, text in wanted.items():
        replace_text(target / name, text)
    for path in target.glob("*.json"):
        if path.name not in wanted:
            path.unlink()


def with_version(versions: list[Version], version: Version) -> list[Version]:
    """``versions`` and one more.

    Raises:
        VersionError: its document type is there with another content (make a new bundle version).
    """
    known = {each.document_type: each for each in versions}
    if known.setdefault(version.document_type, version) != version:
        raise VersionError(
            f"{version.document_type} is there with another dimension or other attributes: "
            "a version's fields never change, make a new version"
        )
    return [known[document_type] for document_type in sorted(known)]
