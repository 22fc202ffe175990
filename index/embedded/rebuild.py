"""Writes a new base with all changes in it, and swaps it in.

``python -m index.embedded.rebuild PATH RESERVE``, with the bytes that stay free on the disk.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from common.arrays import F16, F32, I64
from common.errors import NOT_IN_ORDER, MrseError
from common.extensions import load_extensions
from common.parent import die_with_parent
from common.progress import StageProgress, silent_stage
from index.embedded.attributes import Column, Postings
from index.embedded.base import CLUSTER_ROWS, BaseSource, write_base
from index.embedded.columns import attribute_column, column_values
from index.embedded.lists import LISTS_PER_ROOT
from index.embedded.log import LogReader
from index.embedded.manifest import IndexManifest, read_manifest
from index.embedded.repair import finish_tail, settle
from index.embedded.state import State
from index.embedded.store import (
    RESERVE,
    RebuildRunning,
    clean,
    install,
    rebuild_lock,
    working_folder,
    write_lock,
)
from index.embedded.texts import BATCH
from index.filters import terms

#: Lists are kept while there are at least this share of what the rows ask for; else trained again.
_LISTS_SHARE = 0.7
_RUNNING = 75
#: Seconds that a rebuild may take: one of 10 million rows takes minutes, so that this one has no disk.
#: *Inferred*.
LONGEST_S = 6 * 3600.0
#: Seconds that a process which is told to end may take.
_FAREWELL_S = 10.0


class RebuildFailed(MrseError):  # noqa: N818 -- the outcome of a process
    """The process that rebuilds an index ended with an error; the index is as it was."""

    exit_code = NOT_IN_ORDER


class NothingLeft(MrseError):  # noqa: N818 -- the state of an index
    """Every item was removed; a base has at least one."""

    exit_code = NOT_IN_ORDER


def rebuild_index(
    root: Path, progress: StageProgress = silent_stage, *, reserve: int = RESERVE
) -> IndexManifest:
    """Rebuild an index folder. Processes that have it open go on searching, and move to the new base.

    They may go on changing it too: changes made while the base is written are copied to its log at the
    end, under the write lock.

    Raises:
        RebuildRunning: another process does it now.
        IndexDamaged: the index cannot be read.
        NothingLeft: every item was removed.
        RebuildFailed: the disk has no room for another base beside ``reserve`` bytes.
    """
    settle(root)
    with rebuild_lock(root), working_folder(root) as work:
        # Verified: a new base has checksums of its own, which would vouch for what is damaged.
        state = State.open(root, verify=True)
        if not state.changes:
            return state.manifest
        if state.items == 0:
            raise NothingLeft(f"{root} has no items left; build it anew")
        _check_room(root, state, reserve)
        cluster_rows = CLUSTER_ROWS if state.manifest.probing is None else 1
        manifest = write_base(_source(state), work, cluster_rows=cluster_rows, progress=progress)
        with write_lock(root):
            if read_manifest(root, verify=False).index_version != state.manifest.index_version:
                raise RebuildRunning(f"{root} was built anew meanwhile")
            tail = state.log.read()
            if isinstance(state.log, LogReader):
                finish_tail(root, state.log)
                tail += state.log.read()
            installed = install(root, work, manifest, [change for _, change in tail])
    clean(root)
    return installed


def _check_room(root: Path, state: State, reserve: int) -> None:
    base = sum(entry.bytes for entry in state.manifest.files.values())
    needed, free = base + state.log.place.offset, shutil.disk_usage(root).free
    if free < needed + reserve:
        kept = f"{free:,} are free, of which {reserve:,} are kept back"
        raise RebuildFailed(f"{root} needs {needed:,} bytes for another base; {kept}")


async def run_rebuild(root: Path, reserve: int = RESERVE) -> None:
    """`rebuild_index` in a process of its own, of low priority.

    Raises:
        RebuildRunning: another process does it now.
        RebuildFailed: with what the process said, or that it took too long.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "index.embedded.rebuild",
        str(root),
        str(reserve),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LONGEST_S):
            _, said = await process.communicate()
    except TimeoutError:
        await _end(process)
        raise RebuildFailed(
            f"{root} was not rebuilt within {LONGEST_S:,.0f} s, and serves as it was; does its disk answer?"
        ) from None
    except asyncio.CancelledError:
        await _end(process)
        raise
    if process.returncode == _RUNNING:
        raise RebuildRunning(f"{root} is being rebuilt by another process")
    if process.returncode:
        # What a signal ended, such as that of want of memory, said nothing.
        why = said.decode(errors="replace").strip().rpartition("\n")[2]
        raise RebuildFailed(why or f"its process ended with {process.returncode}")


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a rebuild, which leaves nothing half done; one that waits for a dead disk is not waited for."""
    for end in (process.terminate, process.kill):
        with suppress(ProcessLookupError):
            end()
        with suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                await process.wait()
            return


def main(root: Path, reserve: int) -> int:
    """The process: returns its exit code."""
    os.nice(10)
    load_extensions()
    try:
        rebuild_index(root, reserve=reserve)
    except RebuildRunning:
        return _RUNNING
    return 0


def _source(state: State) -> BaseSource:
    """The rows of the base, then those of the write buffer, without those that have a tombstone."""
    manifest, base = state.manifest, state.base
    kept = np.flatnonzero(state.tombstones.alive)
    puts = state.buffer.changes()
    ids = pa.concat_arrays(
        [
            base.ids.array.take(pa.array(kept)).cast(pa.large_string()),
            pa.array([put.id for put in puts], pa.large_string()),
        ]
    )

    def column(name: str, order: I64) -> Column:
        column, kind = base.attributes.column(name), manifest.attributes[name]
        given: list[Any] = [put.attributes.get(name) for put in puts]
        if isinstance(column, Postings):  # keeps of all strings a list of terms
            given, kind = [terms(name, value) for value in given], "list"
        ours = column_values(column, kept)
        values = pa.concat_arrays([ours, pa.array(given, ours.type)])
        return attribute_column(name, kind, values.take(pa.array(order)))

    def both(ours: F16, theirs: list[F16], rows: I64) -> F16:
        chunk = np.empty((len(rows), *ours.shape[1:]), dtype=np.float16)
        old = rows < len(kept)
        chunk[old] = ours[kept[rows[old]]]
        for place in np.flatnonzero(~old).tolist():
            chunk[place] = theirs[int(rows[place]) - len(kept)]
        return chunk

    held = base.words

    def texts(order: I64) -> Iterator[Sequence[Mapping[str, str]]]:
        assert held is not None
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH].tolist()
            yield [
                held.texts.row(int(kept[row])) if row < len(kept) else puts[row - len(kept)].texts
                for row in rows
            ]

    seen, new_pictures = base.pictures, [put.picture for put in puts]

    def pictures(rows: I64) -> F16:
        chunk = np.zeros((len(rows), manifest.picture_dim), dtype=np.float16)
        old = rows < len(kept)
        if seen is not None:
            chunk[old] = seen.dense(kept[rows[old]])
        for place in np.flatnonzero(~old).tolist():
            picture = new_pictures[int(rows[place]) - len(kept)]
            if picture is not None:
                chunk[place] = picture
        return chunk

    new_vectors, new_features = [put.vector for put in puts], [put.features for put in puts]
    return BaseSource(
        manifest=manifest.model_copy(
            update={
                "format": max(2, manifest.format),
                "rows": len(ids),
                "sequence": state.sequence,
                "changes": manifest.changes + state.changes,
            }
        ),
        ids=ids,
        column=column,
        vectors=lambda rows: both(base.vectors.codes, new_vectors, rows),
        features=lambda rows: both(base.features, new_features, rows),
        centroids=_centroids(state, len(ids)),
        texts=None if held is None else texts,
        pictures=pictures if manifest.picture_dim else None,
    )


def _centroids(state: State, rows: int) -> F32 | None:
    """The lists' directions, for the new rows to join; None where they should be trained again."""
    lists = state.base.lists
    if state.manifest.probing is None or len(lists) < _LISTS_SHARE * LISTS_PER_ROOT * rows**0.5:
        return None
    lengths = np.linalg.norm(lists.means, axis=1, keepdims=True)
    return np.asarray(lists.means / np.maximum(lengths, 1e-12), dtype=np.float32)


if __name__ == "__main__":
    die_with_parent()  # a rebuild without its service would go on for nobody
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
