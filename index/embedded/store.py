"""The layout of an index folder, and how one base takes another's place::

    index.json        the manifest; replacing it swaps the index
    base-0123abcd/    the files of the base that it names, and
      changes.log     the changes since that base was written
    write.lock        held for each group of changes, and for a swap
    rebuild.lock      held while a base is rebuilt

Every lock is a file lock of the kernel's, which ends with its process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from common.errors import NOT_IN_ORDER, MrseError
from common.files import replacing, sync
from index.embedded.log import last_sequence
from index.embedded.manifest import MANIFEST_NAME, IndexDamaged, IndexManifest, read_manifest

LOG_NAME = "changes.log"


class RebuildRunning(MrseError):  # noqa: N818 -- a state of the world
    """Another process rebuilds this index now."""

    exit_code = NOT_IN_ORDER


class ChangesHeld(MrseError):  # noqa: N818 -- a state of the world
    """An index holds changes that building it anew would lose.

    ``unwritten`` is how many of them no rebuild has written into its base yet.
    """

    exit_code = NOT_IN_ORDER

    def __init__(self, root: Path, changes: int, unwritten: int) -> None:
        made = "1 change" if changes == 1 else f"{changes:,} changes"
        super().__init__(f"{root} holds {made} made since it was built, which building it anew would lose")
        self.unwritten = unwritten


def refuse_changes(root: Path) -> None:
    """Check that an index can be built anew without losing a change.

    Raises:
        ChangesHeld: changes would be lost.
    """
    with suppress(IndexDamaged):
        manifest = read_manifest(root, verify=False)
        unwritten = last_sequence(root / manifest.folder / LOG_NAME, manifest.sequence) - manifest.sequence
        if manifest.changes + unwritten:
            raise ChangesHeld(root, manifest.changes + unwritten, unwritten)


@contextmanager
def write_lock(root: Path) -> Iterator[None]:
    """Wait for the right to change an index."""
    with _lock(root / "write.lock", fcntl.LOCK_EX):
        yield


@contextmanager
def rebuild_lock(root: Path) -> Iterator[None]:
    """The right to rebuild an index.

    Raises:
        RebuildRunning: someone else has it.
    """
    try:
        with _lock(root / "rebuild.lock", fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield
    except BlockingIOError:
        raise RebuildRunning(f"{root} is being rebuilt by another process") from None


@contextmanager
def _lock(path: Path, how: int) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, how)
        yield


@contextmanager
def working_folder(root: Path) -> Iterator[Path]:
    """A folder with an empty log, within an index folder; removed if it was not installed."""
    created = not root.exists()
    root.mkdir(parents=True, exist_ok=True)
    work = root / f".new-{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    (work / LOG_NAME).touch()
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if created and not (root / MANIFEST_NAME).exists():
            shutil.rmtree(root, ignore_errors=True)


def install(root: Path, work: Path, manifest: IndexManifest, *, after_log: bool = False) -> IndexManifest:
    """Put the base in a `working_folder` in the current one's place; the manifest that was installed.

    Call it with the write lock held. ``after_log`` counts the base's changes from the end of the current log,
    whose changes it replaces.
    """
    with suppress(IndexDamaged):
        current = read_manifest(root, verify=False)
        if after_log:
            end = last_sequence(root / current.folder / LOG_NAME, current.sequence)
            # An index without changes keeps its place in the count, so that building is repeatable.
            sequence = 0 if end == 0 else end + 1
            manifest = manifest.model_copy(update={"sequence": sequence}).versioned()
        if current.index_version == manifest.index_version:
            return current
    base = root / manifest.folder
    shutil.rmtree(base, ignore_errors=True)
    sync(work)
    work.rename(base)
    with replacing(root / MANIFEST_NAME, durable=True) as written:
        written.write_text(manifest.to_json(), encoding="utf-8")
    for other in root.glob("base-*"):
        if other != base:
            shutil.rmtree(other, ignore_errors=True)
    return manifest
