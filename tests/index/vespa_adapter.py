"""Vespa in the contract suite: its own container as peer, or a real cluster.

Where ``MRSE_VESPA_URL`` is set the suite runs against that cluster. With ``VESPA_CONFIG_URL`` the
catalogue's package is deployed there first, in place of whatever is deployed; without it, it has to be
there already.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from artifacts.attributes import AttributeKind
from artifacts.embeddings import EmbeddingsFolder
from common.deadline import Deadline
from devtools.embeddings import make_embeddings
from devtools.vespa_peer.peer import start_peer
from index.port import ItemIndex
from index.vespa.client import VespaIndex
from index.vespa.feed.feeder import feed
from index.vespa.feed.journal import Journal
from index.vespa.feed.source import EmbeddingsSource, new_feed_version
from index.vespa.package.deploy import deploy
from index.vespa.package.layout import Layout
from index.vespa.package.render import render
from index.vespa.settings import EndpointSettings, VespaSettings
from index.vespa.version import Version
from index.vespa.words import TextSpec
from tests.support.vespa_peer import require_peer

if TYPE_CHECKING:
    from tests.index.adapters import Catalogue


class Vespa:
    """Renders the package, starts the container, feeds over document/v1, searches."""

    name = "vespa"
    #: bfloat16 keeps 8 bits of each cell.
    tolerance = 4e-3

    @contextmanager
    def up(self, folder: Path) -> Iterator[VespaStarter]:
        """Nothing is started yet: the package depends on the catalogue."""
        if "MRSE_VESPA_URL" not in os.environ:
            require_peer()
        with contextlib.ExitStack() as running:
            yield VespaStarter(folder, running)


class VespaStarter:
    """Brings up one catalogue, once."""

    def __init__(self, folder: Path, running: contextlib.ExitStack) -> None:
        self._folder = folder
        self._running = running
        self._settings: VespaSettings | None = None

    async def start(self, catalogue: Catalogue) -> ItemIndex:
        """See `Starter.start`."""
        if self._settings is None:
            self._settings = await self._bring_up(catalogue)
        index = VespaIndex(self._settings)
        await index.check()
        return index

    async def _bring_up(self, catalogue: Catalogue) -> VespaSettings:
        kinds = {name: cast("AttributeKind", kind) for name, kind in catalogue.attributes.items()}
        dimension = catalogue.vectors.shape[1]
        texts = None if catalogue.texts is None else TextSpec(("title", "category"), "english")
        width = 0 if catalogue.pictures is None else catalogue.pictures.shape[1]
        version = Version(catalogue.bundle_version, dimension, kinds, texts, picture_dim=width)
        application = render(self._folder / "package", [version], Layout())
        url = os.environ.get("MRSE_VESPA_URL")
        if url is None:
            url = self._running.enter_context(start_peer(application, nodes=2)).url
        config = os.environ.get("VESPA_CONFIG_URL")
        if config is not None:
            await deploy(EndpointSettings((config,)), application, Deadline.after(120))
        settings = VespaSettings(EndpointSettings((url,)), version)
        embeddings = make_embeddings(
            self._folder / "embeddings",
            items=catalogue.items,
            vectors=catalogue.vectors,
            attributes=catalogue.attributes,
            bundle_version=catalogue.bundle_version,
            texts=catalogue.texts,
            pictures=catalogue.pictures,
        )
        source = EmbeddingsSource(EmbeddingsFolder.open(embeddings))
        report = await feed(settings, source, Journal(None, "contract", new_feed_version()))
        assert report.complete, report.failures
        return settings
