"""What is done about a log that is not as it was left: cut, moved to the current format, or repaired."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from common.errors import NOT_IN_ORDER, MrseError
from common.files import sync
from index.embedded.frames import Frame, frames, later_frames
from index.embedded.log import LOG_NAME, LogDamaged, LogReader, acknowledge, read_start
from index.embedded.manifest import IndexDamaged, IndexManifest, read_manifest
from index.embedded.note import NOTE_NAME
from index.embedded.old_log import salvage
from index.embedded.records import Change, unpack
from index.embedded.store import (
    install,
    known_sequence,
    link_base,
    log_reader,
    rebuild_lock,
    set_aside,
    working_folder,
    write_lock,
)

log = logging.getLogger("mrse.index")


class NothingToRepair(MrseError):  # noqa: N818 -- the state of an index
    """The log is whole."""

    exit_code = NOT_IN_ORDER


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair kept and lost; ``aside`` is where the damaged files are now. ``lost`` None: not known."""

    kept: int
    lost: int | None
    aside: Path


@dataclass(frozen=True, slots=True)
class Assessed:
    """What a damaged log still holds. ``last`` is the last change it tells of; ``lost`` None: not known."""

    changes: list[Change]
    last: int
    lost: int | None

    @property
    def kept(self) -> int:
        """How many changes can be read."""
        return len(self.changes)


def finish_tail(root: Path, reader: LogReader) -> None:
    """Make the log end where it was acknowledged. With the write lock held, and the log read up to there.

    Whole frames behind are taken: after a power failure they may have been acknowledged. An unfinished one is
    of a process that died while it wrote, and moves to the quarantine.

    Raises:
        LogDamaged: the log is shorter, or whole frames follow an unfinished one.
    """
    beyond = reader.beyond()
    if beyond == 0:
        return
    if beyond < 0:
        at = reader.place.offset + beyond
        raise LogDamaged(f"ends at byte {at}, acknowledged are {reader.place.offset}")
    with reader.path.open("r+b") as file:
        file.seek(reader.place.offset)
        content = file.read()
        place = reader.place
        for frame in frames(content, place, reader.identity):
            place = frame.after
        rest = reader.place.offset + len(content) - place.offset
        if rest:
            later = next(later_frames(reader.path, place.offset, reader.identity), None)
            if later is not None:
                raise LogDamaged(f"is damaged at byte {place.offset}, and changes follow", place, later.first)
            aside = set_aside(root, reader.path.parent, ())
            (aside / "unfinished").write_bytes(content[-rest:])
            sync(aside / "unfinished")
            file.truncate(place.offset)
            log.warning(
                "%s: %d bytes of a change that was not finished moved to %s", reader.path, rest, aside
            )
        os.fsync(file.fileno())
    acknowledge(reader.path.parent, reader.identity, place, durable=True)


def settle(root: Path) -> None:
    """`finish_tail` where there is something behind the acknowledged end; any format.

    Raises:
        IndexDamaged: the index is.
    """
    with write_lock(root):
        manifest = read_manifest(root, verify=False)
        try:
            _read_whole(root, manifest)
        except LogDamaged as error:
            raise IndexDamaged(root / manifest.folder / LOG_NAME, str(error)) from error


def move_to_current_format(root: Path) -> IndexManifest:
    """Write the log of an index of format 1 anew, beside links to its base. With the write lock held.

    Raises:
        IndexDamaged: the index is.
    """
    manifest = read_manifest(root, verify=False)
    if manifest.format != 1:
        return manifest
    try:
        reader = log_reader(root, manifest)
        changes = [change for _, change in reader.read()]
    except LogDamaged as error:
        raise IndexDamaged(root / manifest.folder / LOG_NAME, str(error)) from error
    with working_folder(root) as work:
        link_base(root, manifest, work)
        return install(root, work, manifest.model_copy(update={"format": 2}).versioned(), changes)


def assess(root: Path) -> Assessed:
    """What `repair` would keep and lose; nothing is changed.

    Raises:
        NothingToRepair: the log is whole.
        IndexDamaged: the base is damaged, which only another copy of it mends.
    """
    with write_lock(root):
        return _assessed(root, read_manifest(root))


def repair(root: Path) -> Repaired:
    """Go on with the changes of a damaged log that are whole; the damaged files are kept in the quarantine.

    Servers that have the index open move to what is left. Changes are whole items, so those that stand behind
    a damaged place are taken too. Raises as `assess` does.
    """
    with rebuild_lock(root), write_lock(root):
        manifest = read_manifest(root)
        found = _assessed(root, manifest)
        aside = set_aside(root, root / manifest.folder, (LOG_NAME, NOTE_NAME))
        # It counts on behind all that was acknowledged, so that no number means two changes.
        after = manifest.model_copy(
            update={"sequence": found.last + 1, "format": max(manifest.format, 2)}
        ).versioned()
        with working_folder(root) as work:
            link_base(root, manifest, work)
            install(root, work, after, found.changes)
        return Repaired(found.kept, found.lost, aside)


def _read_whole(root: Path, manifest: IndexManifest) -> None:
    """Read the log to its end, and finish what stands behind it.

    Raises:
        LogDamaged: it is.
    """
    reader = log_reader(root, manifest)
    reader.read()
    if isinstance(reader, LogReader):
        finish_tail(root, reader)


def _assessed(root: Path, manifest: IndexManifest) -> Assessed:
    try:
        _read_whole(root, manifest)
    except LogDamaged as error:
        damaged = error
    else:
        raise NothingToRepair(f"{root / manifest.folder / LOG_NAME} is whole")
    changes, last = _salvaged(root, manifest)
    told = max(known_sequence(root, manifest), damaged.sequence or 0, last)
    lost = told - manifest.sequence - len(changes)
    return Assessed(changes, told, lost if damaged.sequence is not None or lost else None)


def _salvaged(root: Path, manifest: IndexManifest) -> tuple[list[Change], int]:
    """The changes that can be read, in order, and the last sequence number of them."""
    path, shape = root / manifest.folder / LOG_NAME, (manifest.experts, manifest.expert_dim)
    if manifest.format == 1:
        return _salvaged_old(root, manifest)
    try:
        identity, start = read_start(path, manifest.index_version, manifest.sequence)
    except LogDamaged:
        return [], manifest.sequence
    changes: list[Change] = []
    place = start

    def take(frame: Frame) -> None:
        nonlocal place
        changes.extend(unpack(frame.changes, manifest.dim, shape))
        place = frame.after

    for frame in frames(path.read_bytes()[start.offset :], start, identity):
        take(frame)
    for frame in later_frames(path, place.offset, identity):
        if frame.first > place.sequence:
            take(frame)
    return changes, place.sequence


def _salvaged_old(root: Path, manifest: IndexManifest) -> tuple[list[Change], int]:
    found = salvage(root / manifest.folder / LOG_NAME, manifest.dim, (manifest.experts, manifest.expert_dim))
    taken: list[Change] = []
    last = manifest.sequence
    for sequence, change in found:
        if sequence > last:
            taken.append(change)
            last = sequence
    return taken, last
