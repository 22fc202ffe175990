"""The embedding versions of a package: adding one, dropping one.

Adding and dropping rewrite the whole package from the version files, so that what is deployed never
depends on what was there before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from common.files import replace_text
from index.vespa.version import Version, VersionError

VERSIONS: Final = "versions"


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
