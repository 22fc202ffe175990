"""A deployment: one bundle, one index, and everything that answers with them.

Each arm of the experiment ``towers`` has one; arms that name the same bundle and index share it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from artifacts.bundle import Behaviour, Bundle, BundleError
from artifacts.bundle.graphs import GraphError
from artifacts.bundle.manifest import Dimensions, Precision, Role
from artifacts.bundle.portrait import recent
from artifacts.cache.codec import FeatureCodec, PortraitCodec
from common.arrays import F16
from common.lru import Lru
from index.engines import ENGINES
from index.port import IndexOpenError, ItemFeatures, ItemIndex, OpenedIndex, WritableIndex
from service.errors import StartError, not_set
from service.query.cache.features import CachedFeatures
from service.query.cache.fusions import FusionCache
from service.query.cache.portraits import StoredPortraits
from service.query.cache.redis import RedisCache
from service.query.cache.tiers import ExpertCache
from service.query.encoder import OnnxQueryEncoder
from service.recall.routes.neighbours import NeighbourCache
from service.settings import Arm, Settings
from service.telemetry.metrics import Metrics

#: Told what is being loaded.
Announce = Callable[[str], None]
Check = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a deployment's bundle and index are; None for one that nobody named."""

    bundle: Path | None
    index: Path | None


@dataclass(frozen=True, slots=True)
class WorkerCaches:
    """What all deployments of a worker share: keys carry the bundle version, so their values never meet."""

    experts: Lru[str, F16]
    #: Redis, where it is set.
    shared: RedisCache | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What answers the requests of an arm of ``towers``.

    Attributes:
        folders: where its bundle and index came from.
        bundle: the verified bundle.
        encoder: the bundle's query side.
        precisions: what each graph of the encoder runs in.
        experts: experts of queries, computed where no cache has them.
        fusions: embeddings of queries without a history.
        portraits: portraits stored ahead of the requests; None without a shared cache.
        index: the items.
        features: features of the items in a user's history.
        heads: nearest items of queries without a history.
        neighbours: nearest items of I2I's triggers.
        writable: the index, where it takes changes.
        check: for an index behind a server: asks it, in the event loop, whether it is this bundle's.
    """

    folders: Folders
    bundle: Bundle
    encoder: OnnxQueryEncoder
    precisions: Mapping[Role, Precision]
    experts: ExpertCache
    fusions: FusionCache
    portraits: StoredPortraits | None
    index: ItemIndex
    features: ItemFeatures
    heads: NeighbourCache
    neighbours: NeighbourCache
    writable: WritableIndex | None
    check: Check | None

    @property
    def dimensions(self) -> Dimensions:
        """Sizes of the bundle's model."""
        return self.bundle.manifest.dimensions

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(3, d)`` of one item's features."""
        return _shape(self.bundle)

    def recent(self, history: Sequence[Behaviour]) -> list[Behaviour]:
        """The behaviours that a portrait holds: the last ones of those that the bundle was trained with."""
        return recent(history, self.dimensions.history, self.bundle.manifest.behaviours)

    async def close(self) -> None:
        """End threads, release files and connections."""
        self.encoder.close()
        await self.index.close()


def folders_of_arm(settings: Settings, arm: Arm) -> Folders:
    """Where the bundle and the index of an arm of ``towers`` are."""
    return Folders(arm.bundle or settings.bundle.path, arm.index or settings.index.path)


def open_deployment(
    *, settings: Settings, folders: Folders, caches: WorkerCaches, metrics: Metrics, announce: Announce
) -> Deployment:
    """Load and check one bundle and one index.

    Args:
        settings: groups of bundle, index, encoder and caches.
        folders: where bundle and index are.
        caches: the worker's.
        metrics: where caches count their lookups.
        announce: told what is being loaded.

    Raises:
        StartError: the bundle or the index is missing or damaged, or they do not belong together.
    """
    bundle = _load_bundle(folders.bundle, announce)
    announce(f"opening the index {folders.index}")
    # Two searches a request: admission is the one bound on load, the index's own queue only backs it up.
    opened = _open_index(settings, folders.index, queue=2 * settings.limits.in_flight)
    if opened.index.bundle_version != bundle.version:
        raise StartError(
            f"index {folders.index} was built with bundle {opened.index.bundle_version}, "
            f"but the bundle {bundle.path} is {bundle.version}; build the index again with this bundle"
        )
    announce(f"checking the graphs of bundle {bundle.version}")
    return assemble(
        settings=settings,
        folders=folders,
        caches=caches,
        metrics=metrics,
        bundle=bundle,
        opened=opened,
    )


def check_arms(settings: Settings, arms: Iterable[Arm]) -> None:
    """Open what arms of ``towers`` need, and let it go.

    Raises:
        StartError: see `open_deployment`.
    """
    for folders in dict.fromkeys(folders_of_arm(settings, arm) for arm in arms):
        open_deployment(
            settings=settings,
            folders=folders,
            caches=WorkerCaches(Lru(0)),
            metrics=Metrics(),
            announce=lambda step: None,
        ).encoder.close()


def assemble(
    *,
    settings: Settings,
    folders: Folders,
    caches: WorkerCaches,
    metrics: Metrics,
    bundle: Bundle,
    opened: OpenedIndex,
) -> Deployment:
    """The deployment of a verified bundle and its open index.

    Raises:
        StartError: a graph does not open, or its outputs are off.
    """
    try:
        encoder, precisions = OnnxQueryEncoder.open(bundle, settings.bundle, settings.encoder)
    except (BundleError, GraphError) as error:
        raise StartError(str(error)) from error
    except ModuleNotFoundError:  # the extra that brings onnxruntime
        raise
    except Exception as error:  # onnxruntime's and numpy's errors on a graph or archive that is no such thing
        raise StartError(f"bundle {bundle.path}: {error}") from error
    index = opened.index
    codec, shared = FeatureCodec(*_shape(bundle)), caches.shared
    portraits = None
    if shared is not None:
        portrait_codec = PortraitCodec(*_shape(bundle))
        portraits = StoredPortraits(bundle.version, portrait_codec, shared, metrics.portrait)
    return Deployment(
        folders=folders,
        bundle=bundle,
        encoder=encoder,
        precisions=precisions,
        experts=ExpertCache(codec, caches.experts, shared, metrics.cache),
        fusions=FusionCache(encoder, settings.cache.queries, metrics.fusions),
        portraits=portraits,
        index=index,
        features=opened.features or CachedFeatures(bundle.version, codec, shared),
        heads=NeighbourCache(index, settings.cache.queries, metrics.heads),
        neighbours=NeighbourCache(index, settings.cache.neighbours, metrics.neighbours),
        writable=opened.writable,
        check=opened.check,
    )


def _shape(bundle: Bundle) -> tuple[int, int]:
    dimensions = bundle.manifest.dimensions
    return len(dimensions.experts), dimensions.expert_dim


def _load_bundle(path: Path | None, announce: Announce) -> Bundle:
    if path is None:
        raise not_set("bundle")
    announce(f"verifying the bundle {path}")
    try:
        return Bundle.load(path)
    except BundleError as error:
        raise StartError(str(error)) from error
    except Exception as error:  # such as a tokenizer that the library cannot read
        raise StartError(f"bundle {path}: {error}") from error


def _open_index(settings: Settings, path: Path | None, *, queue: int) -> OpenedIndex:
    if path is None:
        raise not_set("index")
    try:
        return ENGINES[settings.index.engine].open(path, settings.engine_table, queue=queue)
    except IndexOpenError as error:
        raise StartError(str(error)) from error
