"""A stack: one bundle, its query encoder and its index. One for each arm of the ``towers`` experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from artifacts.bundle import Bundle, BundleError
from artifacts.bundle.graphs import GraphError
from artifacts.bundle.manifest import Precision, Role
from index.engines import ENGINES
from index.port import IndexOpenError, ItemIndex, OpenedIndex
from service.errors import StartError, not_set
from service.query.encoder import OnnxQueryEncoder
from service.settings import Settings, Variant

Progress = Callable[[str], None]
#: Paths of bundle and index.
StackKey = tuple[Path | None, Path | None]


@dataclass(frozen=True, slots=True)
class Stack:
    """What answers the requests of an arm."""

    bundle: Bundle
    encoder: OnnxQueryEncoder
    precisions: Mapping[Role, Precision]
    opened: OpenedIndex

    @property
    def index(self) -> ItemIndex:
        """The item index."""
        return self.opened.index

    async def close(self) -> None:
        """End threads, release files and connections."""
        self.encoder.close()
        await self.index.close()


def stack_key(settings: Settings, variant: Variant) -> StackKey:
    """The bundle and the index that an arm is served with."""
    return variant.bundle or settings.bundle.path, variant.index or settings.index.path


def load_stacks(settings: Settings, arms: Mapping[str, Variant], progress: Progress) -> dict[str, Stack]:
    """Load and check what each arm of ``towers`` needs; arms of one bundle and index share a stack.

    Args:
        settings: bundle, index and encoder groups.
        arms: the arms of ``towers``.
        progress: told what is being loaded.

    Raises:
        StartError: a bundle or index is missing, damaged, or they do not belong together.
    """
    shared: dict[StackKey, Stack] = {}
    stacks: dict[str, Stack] = {}
    for arm, variant in arms.items():
        paths = stack_key(settings, variant)
        if paths not in shared:
            shared[paths] = load_stack(settings, *paths, progress=progress)
        stacks[arm] = shared[paths]
    return stacks


def load_stack(
    settings: Settings, bundle_path: Path | None, index_path: Path | None, *, progress: Progress
) -> Stack:
    """Load and check one bundle and one index.

    Raises:
        StartError: see `load_stacks`.
    """
    bundle = load_bundle(bundle_path, progress)
    progress(f"opening the index {index_path}")
    # Two searches a request: admission is the one bound on load, the index's own queue only backs it up.
    opened = open_index(settings, index_path, queue=2 * settings.limits.in_flight)
    if opened.index.bundle_version != bundle.version:
        raise StartError(
            f"index {index_path} was built with bundle {opened.index.bundle_version}, "
            f"but the bundle {bundle.path} is {bundle.version}; build the index again with this bundle"
        )
    progress(f"checking the graphs of bundle {bundle.version}")
    try:
        encoder, precisions = OnnxQueryEncoder.open(bundle, settings.bundle, settings.encoder)
    except (BundleError, GraphError) as error:
        raise StartError(str(error)) from error
    except Exception as error:  # onnxruntime's and numpy's errors on a graph or archive that is no such thing
        raise StartError(f"bundle {bundle.path}: {error}") from error
    return Stack(bundle, encoder, precisions, opened)


def load_bundle(path: Path | None, progress: Progress) -> Bundle:
    """Read and verify a bundle.

    Raises:
        StartError: there is none, or it is damaged.
    """
    if path is None:
        raise not_set("bundle")
    progress(f"verifying the bundle {path}")
    try:
        return Bundle.load(path)
    except BundleError as error:
        raise StartError(str(error)) from error
    except Exception as error:  # such as a tokenizer that the library cannot read
        raise StartError(f"bundle {path}: {error}") from error


def open_index(settings: Settings, path: Path | None, *, queue: int) -> OpenedIndex:
    """Open the index of the configured engine; ``queue`` searches may wait for a thread.

    Raises:
        StartError: there is none, or it is damaged.
    """
    if path is None:
        raise not_set("index")
    try:
        return ENGINES[settings.index.engine].open(path, settings.engine_table, queue=queue)
    except IndexOpenError as error:
        raise StartError(str(error)) from error
