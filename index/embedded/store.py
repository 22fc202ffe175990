"""The layout of an index folder, and how one base takes another's place::

    index.json        the manifest; replacing it swaps the index
    base-0123abcd/    the files of the base that it names, and
      changes.log     the changes since that base was written
      changes.end     how far they were acknowledged
    quarantine/       what was damaged or unfinished, moved aside; nothing reads it
    write.lock        held for each group of changes, and for a swap
    rebuild.lock      held while a base is rebuilt

Every lock is a file lock of the kernel's, which ends with its process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from common.errors import NOT_IN_ORDER, MrseError
from common.files import replacing, sync
from index.embedded.log import LOG_NAME, LogDamaged, LogReader, create_log
from index.embedded.manifest import MANIFEST_NAME, IndexDamaged, IndexManifest, read_manifest
from index.embedded.old_log import OldLogReader
from index.embedded.records import Change

QUARANTINE = "quarantine"
#: Bytes that stay free on the disk of an index: changes and rebuilds are refused before. *Inferred*: what a
#: log and the system itself need to go on while somebody makes room.
RESERVE = 256 * 1024 * 1024


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


def log_reader(root: Path, manifest: IndexManifest) -> LogReader | OldLogReader:
    """The log of the base that a manifest names.

    Raises:
        LogDamaged: it is missing, or of another base.
    """
    folder, shape = root / manifest.folder, (manifest.experts, manifest.expert_dim)
    if manifest.format == 1:
        return OldLogReader(folder, manifest.sequence, manifest.dim, shape)
    return LogReader(folder, manifest.index_version, manifest.sequence, manifest.dim, shape)


def last_sequence(root: Path, manifest: IndexManifest) -> int:
    """The last acknowledged change of an index.

    Raises:
        IndexDamaged: its log is.
    """
    try:
        reader = log_reader(root, manifest)
        reader.read()
    except LogDamaged as error:
        raise IndexDamaged(root / manifest.folder / LOG_NAME, str(error)) from error
    return reader.place.sequence


def refuse_changes(root: Path) -> None:
    """Check that an index can be built anew without losing a change.

    Raises:
        ChangesHeld: changes would be lost.
        IndexDamaged: it is, so what would be lost cannot be told.
    """
    try:
        manifest = read_manifest(root, verify=False)
    except IndexDamaged as error:
        if any(root.glob(f"base-*/{LOG_NAME}")):
            reason = "is damaged, and building it anew would lose the changes in its log; --force loses them"
            raise IndexDamaged(error.file, f"{error.reason}; the index {reason}") from error
        return
    unwritten = last_sequence(root, manifest) - manifest.sequence
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
    """An empty folder within an index folder; removed if it was not installed.

    Its maker holds a lock on it, by which `clean` knows those whose maker is dead.
    """
    created = not root.exists()
    root.mkdir(parents=True, exist_ok=True)
    work = root / f".new-{os.getpid()}"
    descriptor = _made(work)
    try:
        yield work
    finally:
        os.close(descriptor)
        shutil.rmtree(work, ignore_errors=True)
        if created and not (root / MANIFEST_NAME).exists():
            shutil.rmtree(root, ignore_errors=True)


def _made(work: Path) -> int:
    """Make a folder and lock it; the descriptor that holds the lock."""
    while True:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        descriptor = os.open(work, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):  # someone cleaned between the two lines above
            if os.path.samestat(work.stat(), os.fstat(descriptor)):
                return descriptor
        os.close(descriptor)


def clean(root: Path) -> int:
    """Remove what dead processes left: unfinished folders, and bases that no manifest names; how many.

    Call it without the write lock.
    """
    removed = 0
    for work in root.glob(".new-*"):
        removed += _removed_if_abandoned(work)
    with write_lock(root), suppress(IndexDamaged):
        named = read_manifest(root, verify=False).folder
        for base in root.glob("base-*"):
            if base.name != named:
                shutil.rmtree(base, ignore_errors=True)
                removed += 1
    return removed


def _removed_if_abandoned(work: Path) -> bool:
    try:
        descriptor = os.open(work, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(work, ignore_errors=True)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def install(
    root: Path,
    work: Path,
    manifest: IndexManifest,
    changes: Sequence[Change] = (),
    *,
    after_log: bool = False,
) -> IndexManifest:
    """Put the base in a `working_folder` in the current one's place; the manifest that was installed.

    Call it with the write lock held. Its log holds ``changes``. ``after_log`` counts the base's changes from
    the end of the current log, whose changes it replaces.
    """
    with suppress(IndexDamaged):
        current = read_manifest(root, verify=False)
        if after_log:
            end = known_sequence(root, current)
            # An index without changes keeps its place in the count, so that building is repeatable.
            sequence = 0 if end == 0 else end + 1
            manifest = manifest.model_copy(update={"sequence": sequence}).versioned()
        if current.index_version == manifest.index_version:
            return current
    create_log(work, manifest.index_version, manifest.sequence, changes)
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


def known_sequence(root: Path, manifest: IndexManifest) -> int:
    """The last change that an index tells of, though its log may be damaged."""
    try:
        reader = log_reader(root, manifest)
        reader.read()
    except LogDamaged as error:
        known = manifest.sequence if error.known is None else error.known.sequence
        return max(known, error.sequence or 0)
    return reader.place.sequence


def link_base(root: Path, manifest: IndexManifest, work: Path) -> None:
    """The files of a base in another folder too, by links where the file system has them."""
    for name in manifest.file_names:
        source = root / manifest.folder / name
        try:
            os.link(source, work / name)
        except OSError:
            shutil.copyfile(source, work / name)
            sync(work / name)


def set_aside(root: Path, folder: Path, names: Sequence[str]) -> Path:
    """Copy files of a base to the quarantine, on disk when this returns; the folder that holds them now."""
    aside = root / QUARANTINE
    number = 1 + len(list(aside.glob("*"))) if aside.exists() else 1
    while (place := aside / f"{folder.name}-{number}").exists():
        number += 1
    place.mkdir(parents=True)
    for name in names:
        with suppress(FileNotFoundError):
            shutil.copyfile(folder / name, place / name)
            sync(place / name)
    sync(place)
    sync(aside)
    return place
