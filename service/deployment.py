"""A deployment: one bundle, one index, and everything that answers with them.

Each arm of the experiment ``towers`` has one; arms that name the same bundle and index share it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from artifacts.bundle import Behaviour, Bundle, BundleError
from artifacts.bundle.graphs import GraphError
from artifacts.bundle.manifest import Dimensions
from artifacts.bundle.portrait import recent
from artifacts.cache.codec import FeatureCodec, PortraitCodec
from artifacts.popularity import POPULARITY
from common.arrays import F16
from common.lru import Lru
from index.changes import WritableIndex
from index.engine import IndexOpenError, OpenedIndex
from index.engines import ENGINES
from index.port import (
    ExactIndex,
    FarIndex,
    ItemFeatures,
    ItemIndex,
    ItemTitles,
    ItemValues,
    LexicalIndex,
    PhotoIndex,
    RankedIndex,
)
from index.watching import IndexUpkeep
from service.errors import StartError, not_set
from service.item_encoder import ItemEncoder
from service.query.cache.fusions import FusionCache
from service.query.cache.produced import ProducedFeatures, ProducedPortraits
from service.query.cache.redis import RedisCache
from service.query.cache.tiers import ExpertCache
from service.query.decoder.decoder import PictureDecoder
from service.query.encoder import QueryEncoder
from service.query.pace import WAIT
from service.recall.calibration import BUILT_IN, Calibration, CalibrationError, calibration_of
from service.recall.routes.neighbours import NeighbourCache
from service.settings import Arm, Settings
from service.telemetry.metrics import Metrics

#: Told what is being loaded.
Announce = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a deployment's bundle and index are; None for one that nobody named."""

    bundle: Path | None
    index: Path | None


@dataclass(frozen=True, slots=True)
class Worker:
    """What all deployments of a worker share.

    Attributes:
        settings: the groups of encoder, index and caches keep their values until a restart.
        metrics: where caches count their lookups.
        experts: query experts in process. Keys carry the bundle version, so those of two bundles never meet.
        decoder: decodes pictures, in processes of its own.
        shared: the shared cache, where one is set.
    """

    settings: Settings
    metrics: Metrics
    experts: Lru[str, F16]
    decoder: PictureDecoder
    shared: RedisCache | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What answers the requests of an arm of ``towers``.

    Attributes:
        folders: where its bundle and index came from.
        bundle: the verified bundle.
        encoder: the bundle's query side.
        items: the bundle's item side.
        experts: experts of queries, computed where no cache has them.
        fusions: embeddings of queries without a history.
        portraits: portraits stored ahead of the requests; None without a shared cache.
        index: the items.
        features: features of the items in a user's history.
        produced: those that the shared cache holds; None without one.
        heads: nearest items of queries without a history.
        neighbours: nearest items of I2I's triggers.
        lexical: searches the index by words; None where it holds no texts.
        photos: searches the index by pictures; None where it holds no picture features.
        ranked: lists items by popularity; None where the index does not say how popular they are.
        far: answers what a request needs of the index together; None where it is near.
        exact: searches the index exactly; None where the engine does not, or watches its recall itself.
        writable: the index, where it takes changes.
        values: gives the attributes of items; None where the engine does not.
        titles: gives their titles; None where the index holds none.
        calibration: what scores that are no cosines are worth.
        unwritable: where it takes none, though it might: what to set.
        upkeep: what is known of the index's files; None where it has none here.
        check: for an index behind a server: asks it, in the event loop, whether it is this bundle's.
    """

    folders: Folders
    bundle: Bundle
    encoder: QueryEncoder
    items: ItemEncoder
    experts: ExpertCache
    fusions: FusionCache
    portraits: ProducedPortraits | None
    index: ItemIndex
    features: ItemFeatures
    produced: ProducedFeatures | None
    heads: NeighbourCache
    neighbours: NeighbourCache
    lexical: LexicalIndex | None
    photos: PhotoIndex | None
    ranked: RankedIndex | None
    far: FarIndex | None
    exact: ExactIndex | None
    writable: WritableIndex | None
    values: ItemValues | None
    titles: ItemTitles | None
    calibration: Calibration
    unwritable: str | None
    upkeep: IndexUpkeep | None
    check: Callable[[], Awaitable[None]] | None

    @property
    def dimensions(self) -> Dimensions:
        """Sizes of the bundle's model."""
        return self.bundle.manifest.dimensions

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(E, d)`` of one item's features."""
        return len(self.dimensions.experts), self.dimensions.expert_dim

    def recent(self, history: Sequence[Behaviour]) -> list[Behaviour]:
        """The behaviours that a portrait holds: the last ones of those that the bundle was trained with."""
        manifest = self.bundle.manifest
        one_slot = manifest.preprocessing.one_slot
        return recent(history, self.dimensions.history, manifest.behaviours, one_slot=one_slot)

    async def close(self) -> None:
        """End threads, release files and connections."""
        await asyncio.to_thread(self.encoder.close)  # it waits for what is being run
        await asyncio.to_thread(self.items.close)
        await self.index.close()


def arm_folders(settings: Settings, arm: Arm) -> Folders:
    """Where the bundle and the index of an arm of ``towers`` are."""
    return Folders(arm.bundle or settings.bundle.path, arm.index or settings.index.path)


def open_deployment(*, worker: Worker, folders: Folders, announce: Announce) -> Deployment:
    """Load and check one bundle and one index.

    Args:
        worker: what it shares with other deployments.
        folders: where bundle and index are.
        announce: told what is being loaded.

    Raises:
        StartError: the bundle or the index is missing or damaged, or they do not belong together.
    """
    if folders.bundle is None:
        raise not_set("bundle")
    announce(f"verifying the bundle {folders.bundle}")
    with _named(folders.bundle):
        bundle = Bundle.load(folders.bundle)
    announce(f"opening the index {folders.index}")
    opened = _open_index(worker.settings, folders.index)
    if opened.index.bundle_version != bundle.version:
        raise StartError(
            f"index {folders.index} was built with bundle {opened.index.bundle_version}, "
            f"but the bundle {bundle.path} is {bundle.version}; build the index again with this bundle"
        )
    announce(f"checking the graphs of bundle {bundle.version}")
    return assemble(worker=worker, folders=folders, bundle=bundle, opened=opened)


def assemble(*, worker: Worker, folders: Folders, bundle: Bundle, opened: OpenedIndex) -> Deployment:
    """The deployment of a verified bundle and its open index.

    Raises:
        StartError: a graph does not open, or its outputs are off.
    """
    settings, metrics, shared = worker.settings, worker.metrics, worker.shared
    with _named(bundle.path):
        encoder = QueryEncoder(
            bundle,
            settings.bundle,
            settings.encoder,
            worker.decoder,
            metrics.model_failed,
            WAIT * settings.deadline.default_ms / 1000,
            metrics.batch,
        )
    if opened.calls is not None:
        opened.calls.listen(metrics.index.watch(opened.calls.servers))
    index, dimensions = opened.index, bundle.manifest.dimensions
    width = bundle.manifest.picture.feature_dim
    if opened.photos is not None and opened.photos.picture_dim != width:
        raise StartError(
            f"index {folders.index} holds picture features of {opened.photos.picture_dim} values, the bundle "
            f"{bundle.path} makes {width}; embed and build again with this bundle"
        )
    shape = len(dimensions.experts), dimensions.expert_dim
    codec = FeatureCodec(*shape)
    produced = ProducedFeatures(bundle.version, codec, shared)
    portraits = None
    if shared is not None:
        portraits = ProducedPortraits(bundle.version, PortraitCodec(*shape), shared, metrics.portrait)
    return Deployment(
        folders=folders,
        bundle=bundle,
        encoder=encoder,
        items=ItemEncoder(
            bundle, settings.bundle, settings.items, lambda how: metrics.model_failed("item", how)
        ),
        experts=ExpertCache(codec, worker.experts, shared, metrics.cache),
        fusions=FusionCache(encoder, settings.cache.queries, metrics.fusions),
        portraits=portraits,
        index=index,
        features=opened.features or produced,
        produced=None if shared is None else produced,
        heads=NeighbourCache(index, settings.cache.queries, metrics.heads),
        neighbours=NeighbourCache(index, settings.cache.neighbours, metrics.neighbours),
        lexical=opened.lexical,
        photos=opened.photos,
        ranked=opened.ranked if index.attributes.get(POPULARITY) == "number" else None,
        far=opened.far,
        exact=opened.exact,
        writable=opened.writable,
        values=opened.values,
        titles=opened.titles,
        calibration=_calibration(folders.index, bundle.version),
        unwritable=opened.unwritable,
        upkeep=opened.upkeep,
        check=opened.check,
    )


def check_arms(settings: Settings, arms: Iterable[Arm]) -> None:
    """Open what arms of ``towers`` need, and let it go.

    Raises:
        StartError: see `open_deployment`.
    """
    decoder = PictureDecoder(settings.encoder, settings.limits.picture_pixels)  # starts nothing
    worker = Worker(settings, Metrics(), Lru(0), decoder)
    for folders in dict.fromkeys(arm_folders(settings, arm) for arm in arms):
        open_deployment(worker=worker, folders=folders, announce=lambda step: None).encoder.close()


@contextmanager
def _named(bundle: Path) -> Iterator[None]:
    """What fails with a bundle's files is a `StartError` that names it."""
    try:
        yield
    except (BundleError, GraphError) as error:
        raise StartError(str(error)) from error
    except ModuleNotFoundError:  # the extra that brings onnxruntime
        raise
    except (
        Exception
    ) as error:  # such as onnxruntime's on a graph, or a tokenizer that its library cannot read
        raise StartError(f"bundle {bundle}: {error}") from error


def _calibration(index: Path | None, bundle_version: str) -> Calibration:
    try:
        return BUILT_IN if index is None else calibration_of(index, bundle_version)
    except CalibrationError as error:
        raise StartError(str(error)) from error


def _open_index(settings: Settings, path: Path | None) -> OpenedIndex:
    if path is None:
        raise not_set("index")
    # Two searches a request: admission is the one bound on load, the index's own queue only backs it up.
    queue = 2 * settings.limits.in_flight
    try:
        return ENGINES[settings.index.engine].open(path, settings.engine_table, queue=queue)
    except IndexOpenError as error:
        raise StartError(str(error)) from error
