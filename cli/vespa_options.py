"""Options and look-ups that the commands for Vespa share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import fail
from common.errors import USAGE

if TYPE_CHECKING:
    from index.vespa.feed.source import EmbeddingsSource
    from index.vespa.package import Version
    from index.vespa.settings import VespaSettings

Package = Annotated[Path, typer.Option("--package", help="Package folder that `add-version` writes.")]
Embeddings = Annotated[
    Path, typer.Argument(help="Folder that `mrse embed` wrote.", exists=True, file_okay=False)
]
LayoutFile = Annotated[
    Path | None, typer.Option(help="Hosts by role (TOML); one node without it.", exists=True, dir_okay=False)
]
Endpoint = Annotated[
    list[str], typer.Option("--endpoint", help="Container to ask, as http://vespa:8080; repeatable.")
]
ConfigServer = Annotated[
    list[str], typer.Option("--config-server", help="As http://vespa-config:19071; repeatable.")
]
Ca = Annotated[Path | None, typer.Option(help="Certificates to trust, PEM.")]
Certificate = Annotated[Path | None, typer.Option(help="Our certificate for mutual TLS, PEM.")]
Key = Annotated[Path | None, typer.Option(help="Its key, PEM.")]
Token = Annotated[
    str | None, typer.Option(envvar="MRSE_VESPA_TOKEN", help="Bearer token.", show_default=False)
]
Within = Annotated[float, typer.Option("--within", min=1, help="Seconds to wait for.")]


def known_versions(package: Path) -> list[Version]:
    """The versions of a package; none is a mistake."""
    from index.vespa.package import read_versions

    versions = read_versions(package)
    if not versions:
        fail(f"{package} holds no version; `mrse vespa add-version` adds one", USAGE)
    return versions


def version_of(package: Path, source: EmbeddingsSource) -> Version:
    """The version that an embeddings folder belongs to."""
    versions = {version.bundle_version: version for version in known_versions(package)}
    if source.bundle_version not in versions:
        fail(f"{package} has no version of bundle {source.bundle_version}; add it and deploy first", USAGE)
    return versions[source.bundle_version]


def client_settings(
    version: Version,
    endpoints: list[str],
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
    token: str | None,
    config_servers: list[str] | None = None,
) -> VespaSettings:
    """What a client of one version needs to know."""
    from index.vespa.settings import TlsSettings, VespaSettings

    try:
        return VespaSettings(
            endpoints=tuple(endpoints),
            bundle_version=version.bundle_version,
            attributes=version.attributes,
            dimension=version.dimension,
            config_servers=tuple(config_servers or ()),
            tls=TlsSettings(ca=ca, certificate=certificate, key=key),
            token=token,
        )
    except ValueError as error:
        fail(str(error), USAGE)
