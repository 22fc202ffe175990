"""The folder in which workers count together.

prometheus-client maps files of it into memory. A file whose blocks are not there yet kills the process that
writes to it when the disk is full, with SIGBUS, so the blocks are allocated first; where they cannot be,
a worker counts for itself. Files carry a number that the supervisor gives to one living worker at a time, not
a process id: a worker goes on counting where an earlier one with its number ended, and files do not pile up.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from common.metrics import SHARED_VARIABLE

log = logging.getLogger("mrse.service")

_PREFIX = "mrse-metrics-"
_LOCK = "lock"
#: In memory, and there in a container with a read-only root.
_MEMORY = Path("/dev/shm")
#: Bytes of a file: several times what the metrics take, for a file that grows later grows without blocks.
ROOM = 256 * 1024
_ROOM_OF_GAUGES = 64 * 1024
_KINDS = {"counter": ROOM, "histogram": ROOM} | {
    f"gauge_{mode}": _ROOM_OF_GAUGES for mode in ("livesum", "livemin", "livemax", "liveall")
}


@contextmanager
def shared_folder(parent: Path | None) -> Iterator[Path | None]:
    """A new folder, named to all processes that are started from now on by `SHARED_VARIABLE`.

    Folders beside it whose service has ended without removing them are removed.

    Args:
        parent: where to make it; None for memory, or the folder for temporary files where there is none.

    Yields:
        the folder; None where it cannot be made, which is logged. Each process then counts for itself.
    """
    os.environ.pop(SHARED_VARIABLE, None)
    parent = parent or (_MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir()))
    try:
        _remove_stale(parent)
        made = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}{os.getpid()}-", dir=parent))
        lock = (made / _LOCK).open("w")  # held for as long as this process lives
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder = made.rename(parent / made.name[1:])  # under its name it is locked, so nobody removes it
    except OSError as error:
        _warn(parent, error)
        yield None
        return
    os.environ[SHARED_VARIABLE] = str(folder)
    try:
        yield folder
    finally:
        os.environ.pop(SHARED_VARIABLE, None)  # `count_as` takes it away where there is no room
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()


def count_as(number: int) -> None:
    """Count in the folder as the worker of a number; for itself alone where there is no folder or no room.

    Called before the first metric is made.
    """
    from prometheus_client import values  # after the folder is named

    folder = os.environ.get(SHARED_VARIABLE)
    if folder is None:
        return
    try:
        forget_gauges(Path(folder), number)
        for kind, room in _KINDS.items():
            _allocate(Path(folder) / f"{kind}_{number}.db", room)
    except OSError as error:
        _warn(Path(folder), error)
        del os.environ[SHARED_VARIABLE]
        values.ValueClass = values.MutexValue
        return
    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: number)  # type: ignore[no-untyped-call]


def forget_gauges(folder: Path, number: int) -> None:
    """Remove what a worker that has ended said of itself; what it counted stays."""
    for file in folder.glob(f"gauge_live*_{number}.db"):
        file.unlink(missing_ok=True)


def _allocate(file: Path, room: int) -> None:
    """Have at least so many bytes of a file on disk; a new file appears with all of them, never empty."""
    new = not file.exists()
    written = file.with_suffix(".new") if new else file
    try:
        with written.open("ab") as opened:
            os.posix_fallocate(opened.fileno(), 0, room)
        if new:
            written.replace(file)
    except OSError:
        if new:
            written.unlink(missing_ok=True)
        raise


def _remove_stale(parent: Path) -> None:
    """Remove this user's folders that no living process has locked, whatever its id was."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another's, or being removed by another
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            with (folder / _LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


def _warn(where: Path, error: OSError) -> None:
    log.warning(
        "no room for shared metrics in %s (%s): each worker counts for itself, and /metrics tells of the "
        "worker that is asked; server.metrics_folder names another folder",
        where,
        error.strerror or error,
    )
