"""The demo over a Vespa: its package deployed, its items fed, where they are not there yet."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cli.console import err
from common.progress import Progress

if TYPE_CHECKING:
    from index.vespa.settings import EndpointSettings

#: Seconds for a Vespa that starts beside us: its config server answers after a minute, or a few.
_STARTS_WITHIN: Final = 600.0
#: Seconds between tries.
_AGAIN: Final = 3.0


def fill_vespa(directory: Path, container: str, config_server: str, report: Progress) -> Path:
    """Make the package of the demo's embeddings, deploy it, feed it; as far as that is not done.

    Returns:
        the version's file, which is the index.

    Raises:
        VespaError, DeployRefused: Vespa does not answer within ten minutes, or does not take the package.
    """
    from artifacts.embeddings import EmbeddingsFolder
    from index.port import TITLE
    from index.vespa.feed.feeder import feed
    from index.vespa.feed.journal import Journal
    from index.vespa.feed.ledger import Ledger
    from index.vespa.feed.source import EmbeddingsSource
    from index.vespa.package.render import add_version, with_titles
    from index.vespa.settings import EndpointSettings, VespaSettings
    from index.vespa.version import Version

    package = directory / "vespa-package"
    folder = EmbeddingsFolder.open(directory / "embeddings")
    version = Version.from_embeddings(folder)
    if TITLE in folder.meta.text_fields:
        version = with_titles(package, version)
    application = add_version(package, version)
    err.print(f"waiting for Vespa at {config_server}")
    asyncio.run(_deploy(EndpointSettings((config_server,)), application))
    with Ledger.of(package, version.document_type) as ledger:
        source = EmbeddingsSource(folder, ledger)
        settings = VespaSettings(EndpointSettings((container,)), version)
        fed = asyncio.run(feed(settings, source, Journal(None, "demo", source.as_of), report))
        ledger.end(source.as_of, refused=[failure.item_id for failure in fed.failures])
    return package / "versions" / f"{version.document_type}.json"


def fill_redis(directory: Path, redis: str, report: Progress) -> None:
    """Store the features of the demo's items, which Vespa does not hold and histories need."""
    from common.progress import stage_progress
    from producer.features import read_embeddings
    from producer.fill import fill
    from producer.items import ItemJob
    from producer.store import Store, as_produce_error, connect

    job = ItemJob(read_embeddings(directory / "embeddings"))
    with as_produce_error(redis), connect(redis) as client:
        fill(job, Store(client, 30 * 86_400.0), progress=stage_progress(report, "items"))


async def _deploy(servers: EndpointSettings, application: Path) -> None:
    from common.deadline import Deadline
    from index.vespa.errors import VespaError
    from index.vespa.package.deploy import NotConverged, deploy

    whole = Deadline.after(_STARTS_WITHIN)
    while True:
        try:
            await deploy(servers, application, whole)
        except (VespaError, NotConverged):
            if whole.remaining() < 2 * _AGAIN:
                raise
            await asyncio.sleep(_AGAIN)
        else:
            return
