"""A copy of an index at one point, while it is searched and changed, and an index out of such a copy.

A snapshot is an index folder of its own: a base and the log of its changes, every byte of it compared with
what was written. It shares no file with the index, so what damages one leaves the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from artifacts.bundle.manifest import FileEntry
from common.errors import NOT_IN_ORDER, MrseError
from common.files import sync
from common.progress import StageProgress, silent_stage
from index.embedded.log import LOG_NAME, LogDamaged
from index.embedded.manifest import MANIFEST_NAME, IndexDamaged, IndexManifest, read_manifest
from index.embedded.note import NOTE_NAME, parse
from index.embedded.records import Change
from index.embedded.store import install, known_sequence, log_reader, set_aside, working_folder, write_lock

_CHUNK = 1 << 20
#: How often a snapshot is begun, while other processes replace the base that it copies.
_ATTEMPTS = 5


class IndexThere(MrseError):  # noqa: N818 -- the state of a folder
    """The folder to write to holds something already."""

    exit_code = NOT_IN_ORDER


def snapshot_index(root: Path, target: Path, progress: StageProgress = silent_stage) -> IndexManifest:
    """Copy an index as it is now, with every change acknowledged before the call; its manifest.

    Raises:
        IndexDamaged: the index is; no snapshot was made.
        IndexThere: ``target`` holds something.
    """
    if target.exists() and any(target.iterdir()):
        raise IndexThere(f"{target} is there and not empty; name another folder")
    return _copy(root, target, progress, replace=False)


def restore_index(
    snapshot: Path, root: Path, progress: StageProgress = silent_stage, *, force: bool = False
) -> IndexManifest:
    """Make an index what a snapshot holds; the index's manifest.

    Servers that have the index open move to it. The log of an index that was there is kept in its
    ``quarantine/``.

    Args:
        snapshot: a folder that `snapshot_index` wrote; any index folder will do.
        root: the index folder.
        progress: told the bytes that were copied, and all of them.
        force: replace an index that is there.

    Raises:
        IndexDamaged: the snapshot is; the index is as it was.
        IndexThere: there is an index, or something else.
    """
    if root.exists() and any(root.iterdir()):
        if not (root / MANIFEST_NAME).exists() and not any(root.glob("base-*")):
            raise IndexThere(f"{root} is there and is no index folder")
        if not force:
            raise IndexThere(f"{root} is there; --force puts the snapshot in its place")
    return _copy(snapshot, root, progress, replace=True)


def _copy(source: Path, target: Path, progress: StageProgress, *, replace: bool) -> IndexManifest:
    with ExitStack() as stack:
        manifest, files, changes = _opened(source, stack)
        work = stack.enter_context(working_folder(target))
        total, done = sum(entry.bytes for entry in manifest.files.values()), 0
        for name, file in files.items():
            _copy_file(source / manifest.folder / name, file, work / name, manifest.files[name])
            done += manifest.files[name].bytes
            progress(done, total)
        if manifest.format == 1:
            manifest = manifest.model_copy(update={"format": 2}).versioned()
        with write_lock(target):
            if replace:
                manifest = _behind(target, manifest)
            return install(target, work, manifest, changes)


def _opened(root: Path, stack: ExitStack) -> tuple[IndexManifest, Mapping[str, BinaryIO], list[Change]]:
    """The manifest, the open files of the base, and the acknowledged changes to it.

    Open files are read on though another base takes their place.
    """
    for attempt in range(_ATTEMPTS):
        manifest = read_manifest(root, verify=False)
        folder = root / manifest.folder
        try:
            with ExitStack() as opened:
                files = {
                    name: opened.enter_context((folder / name).open("rb")) for name in manifest.file_names
                }
                changes = [change for _, change in log_reader(root, manifest).read()]
                stack.push(opened.pop_all())
                return manifest, files, changes
        except (FileNotFoundError, LogDamaged) as error:
            replaced = read_manifest(root, verify=False).index_version != manifest.index_version
            if not replaced or attempt == _ATTEMPTS - 1:
                raise IndexDamaged(folder / LOG_NAME, str(error)) from error
    raise AssertionError("the last attempt returns or raises")


def _copy_file(path: Path, file: BinaryIO, to: Path, entry: FileEntry) -> None:
    digest, size = hashlib.sha256(), 0
    with to.open("wb") as written:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            written.write(chunk)
    if (digest.hexdigest(), size) != (entry.sha256, entry.bytes):
        raise IndexDamaged(path, "has another checksum than the manifest")
    sync(to)


def _behind(root: Path, manifest: IndexManifest) -> IndexManifest:
    """The manifest, counted on from every change that the folder tells of, whose logs are kept aside."""
    told: list[int] = []
    for base in root.glob("base-*"):
        note = base / NOTE_NAME
        place = parse(note.read_bytes(), None) if note.exists() else None
        told.append(0 if place is None else place.sequence)
        set_aside(root, base, (LOG_NAME, NOTE_NAME))
    with suppress(IndexDamaged):
        told.append(known_sequence(root, read_manifest(root, verify=False)))
    if not told:
        return manifest
    return manifest.model_copy(update={"sequence": max(*told, manifest.sequence) + 1}).versioned()
