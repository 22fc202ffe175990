"""Opens the Vespa index that the service's settings name."""

from __future__ import annotations

from pathlib import Path

from index.vespa.client import VespaIndex
from index.vespa.package.versions import Version, VersionError
from index.vespa.settings import ConnectionSettings, QuerySettings, TlsSettings, VespaSettings
from service.errors import StartError
from service.settings import Vespa


def open_vespa(settings: Vespa, version_file: Path) -> VespaIndex:
    """The client of one version; nothing is sent yet, `VespaIndex.check` does that.

    Args:
        settings: where Vespa is.
        version_file: what ``mrse vespa add-version`` wrote beside the package, ``versions/<type>.json``.

    Raises:
        StartError: no address, no such file, or settings that do not go together.
    """
    if settings.url is None:
        raise StartError("no Vespa: set MRSE_VESPA_URL, or url under [vespa] in the configuration file")
    try:
        version = Version.from_json(version_file.read_text(encoding="utf-8"))
        return VespaIndex(
            VespaSettings(
                endpoints=tuple(url.strip().rstrip("/") for url in settings.url.split(",") if url.strip()),
                bundle_version=version.bundle_version,
                attributes=version.attributes,
                dimension=version.dimension,
                tls=TlsSettings(ca=settings.ca, certificate=settings.certificate, key=settings.key),
                token=None if settings.token is None else settings.token.get_secret_value(),
                connection=ConnectionSettings(limit=settings.connections),
                query=QuerySettings(target_hits_factor=settings.target_hits_factor),
            )
        )
    except (OSError, VersionError) as error:
        raise StartError(f"index {version_file}: {error}") from error
    except ValueError as error:
        raise StartError(f"vespa: {error}") from error
