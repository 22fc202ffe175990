"""Reads every byte of an index and compares it with what was written: base files, ids, and the log."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from artifacts.bundle.manifest import FileEntry
from common.progress import StageProgress, silent_stage
from index.embedded.ids import IdTable, hashes
from index.embedded.log import LOG_NAME, LogDamaged, check_log
from index.embedded.manifest import IDS_NAME, WORDS_NAME, IndexDamaged, IndexManifest, read_manifest
from index.embedded.segment import Segment
from index.embedded.store import log_reader

_CHUNK = 1 << 20
_IDS = 65_536

#: Told the bytes that were read before more are; it may wait, and may raise to stop.
Pace = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """A file that is not as it was written, and how."""

    file: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


def verify_index(
    root: Path, progress: StageProgress = silent_stage, pace: Pace = lambda size: None
) -> list[Finding]:
    """What is damaged, with a chunk of a file in memory at a time.

    Changes may be made meanwhile. Where another base takes this one's place, start again: what is found then
    is of files that are gone.
    """
    try:
        manifest = read_manifest(root, verify=False)
    except IndexDamaged as error:
        return [Finding(error.file, error.reason)]
    folder = root / manifest.folder
    total = sum(entry.bytes for entry in manifest.files.values())
    done = 0
    findings: list[Finding] = []
    for name in manifest.file_names:
        for size in _checked_file(folder / name, manifest.files[name], findings):
            done += size
            progress(done, total)
            pace(size)
    if not findings:
        findings += _structure(folder, manifest)
    return findings + _log(root, manifest, pace)


def _checked_file(path: Path, entry: FileEntry, findings: list[Finding]) -> Iterator[int]:
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                yield len(chunk)
    except OSError as error:
        findings.append(Finding(path, f"cannot be read ({error.strerror})"))
        return
    if size != entry.bytes:
        findings.append(Finding(path, f"has {size} bytes, the manifest says {entry.bytes}"))
    elif digest.hexdigest() != entry.sha256:
        findings.append(Finding(path, "has another checksum than the manifest"))


def _structure(folder: Path, manifest: IndexManifest) -> list[Finding]:
    """Whether files whose bytes are right hold what the manifest says, and each id is found by its hash."""
    try:
        segment = Segment(folder, manifest)
    except IndexDamaged as error:
        return [Finding(error.file, error.reason)]
    if segment.words is not None:
        try:
            segment.words.table.check_rows(segment.rows)
        except ValueError as error:
            return [Finding(folder / WORDS_NAME, str(error))]
    return _ids(folder / IDS_NAME, segment.ids)


def _ids(path: Path, table: IdTable) -> list[Finding]:
    before = np.uint64(0)
    for start in range(0, table.rows, _IDS):
        rows, stored = table.by_hash(start, start + _IDS)
        found = hashes(table.ids(rows))
        if (found != stored).any() or stored[0] < before or (stored[1:] < stored[:-1]).any():
            return [Finding(path, f"has ids that are not found by their hashes, from place {start} on")]
        before = stored[-1]
    return []


def _log(root: Path, manifest: IndexManifest, pace: Pace) -> list[Finding]:
    folder = root / manifest.folder
    try:
        if manifest.format == 1:
            log_reader(root, manifest).read()
        else:
            seen = 0
            for end in check_log(folder, manifest.index_version, manifest.sequence):
                pace(end - seen)
                seen = end
    except LogDamaged as error:
        return [Finding(folder / LOG_NAME, str(error))]
    return []
