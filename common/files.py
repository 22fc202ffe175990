"""Files that come from outside are read within bounds; those that we write take their place whole."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath

from common.errors import MrseError

#: Seconds that a lock is waited for, which is held for milliseconds, and between two looks at it.
_PATIENCE_S, _LOOK_S = 10.0, 0.01
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def file_stamp(path: Path | None) -> tuple[int, ...] | None:
    """What changes when a file does; None where there is none, or it cannot be looked at.

    A mounted secret is a link whose target is replaced.
    """
    if path is None:
        return None
    try:
        found = os.stat(path)  # noqa: PTH116 -- one call
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class OutsideError(ValueError):
    """A path leads out of its folder; the message says how."""


def inside(folder: Path, relative: str) -> Path:
    """The path ``relative`` below ``folder``, which need not be there; ``folder`` itself may be a link.

    Raises:
        OutsideError: it is absolute, climbs out with ``..``, or goes through a link that leads out.
    """
    if "\0" in relative or PurePath(relative).is_absolute():
        raise OutsideError("is no relative path")
    path = folder / relative
    try:
        leads_to, root = path.resolve(), folder.resolve()
    except RuntimeError as error:
        raise OutsideError("goes in a circle of links") from error
    if not leads_to.is_relative_to(root):
        climbs = ".." in PurePath(relative).parts
        raise OutsideError(f"leads out of the folder{'' if climbs else ' by a link'}")
    return path


def read_bounded(path: Path, limit: int) -> bytes:
    """The bytes of a regular file.

    Raises:
        OSError: it cannot be read, is over ``limit`` bytes, or is a pipe, device, socket or folder, which
            might never end; ``strerror`` says which.
    """
    # Opened without waiting for anybody to write to it, were it a pipe.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        _refuse_irregular(path, found)
        if found.st_size > limit:
            raise OSError(errno.EFBIG, f"has {found.st_size} bytes, over {limit}", str(path))
        content = file.read(limit + 1)  # it may have grown
        if len(content) > limit:
            raise OSError(errno.EFBIG, f"has over {limit} bytes", str(path))
        return content


def refuse_irregular(path: Path) -> None:
    """Refuse what is there and might never end.

    Raises:
        OSError: a pipe, device, socket or folder, or nothing; ``strerror`` says which.
    """
    _refuse_irregular(path, path.stat())


def _refuse_irregular(path: Path, found: os.stat_result) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
    if kind != stat.S_IFREG:
        raise OSError(errno.EINVAL, f"is {_KINDS.get(kind, 'no file')}, expected a file", str(path))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file that is replaced whole: one writes at a time, over all processes.

    The lock is a file beside it, which stays. Where root makes it, it belongs to the owner of the file.

    Raises:
        OSError: there can be none, it is somebody else's, or a link; or another process held it for too long.
    """
    lock, flags = path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(lock, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        descriptor = os.open(lock, flags)
    else:
        with suppress(OSError):  # there may be no such file yet, and only root may give away
            os.fchown(descriptor, path.stat().st_uid, path.stat().st_gid)
    try:
        _wait_for(descriptor, lock)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, lock: Path) -> None:
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise TimeoutError(f"{lock} was held by another process for {_PATIENCE_S:g} s") from None
            time.sleep(_LOOK_S)
        else:
            return


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Give a path to write to; the file takes the place of ``path`` when the block ends.

    The path lies in the same folder and ends as ``path`` does, for writers that go by the ending. When the
    block fails it is removed, and ``path`` stays as it was.

    Args:
        path: the file to write or to replace.
        durable: whether the file and its name are on disk when the block has ended.
    """
    written = path.with_name(f".partial-{path.name}")
    try:
        yield written
        if durable:
            sync(written)
        written.replace(path)
        if durable:
            sync(path.parent)
    except BaseException:
        written.unlink(missing_ok=True)
        raise


class OwnerError(MrseError):
    """A file cannot be replaced without a change of who can read it."""


def inherit(written: Path, replaced: Path) -> None:
    """Give a file owner, group and mode of the one that it is to replace.

    Raises:
        OwnerError: we may not give it to them, and others than before could read it, or not all of them.
    """
    old = replaced.stat()
    written.touch(0o600)
    for owner, group in ((old.st_uid, -1), (-1, old.st_gid)):
        with suppress(PermissionError):
            os.chown(written, owner, group)
    new = written.stat()
    _refuse_others(replaced, old, new.st_uid, new.st_gid)
    written.chmod(stat.S_IMODE(old.st_mode))


def refuse_others(path: Path) -> None:
    """Refuse a file before it is replaced, as `inherit` would then, as far as that can be told.

    Raises:
        OwnerError: as `inherit`.
    """
    old, us = path.stat(), os.geteuid()
    ours = us == 0 or old.st_gid in {os.getegid(), *os.getgroups()}
    _refuse_others(path, old, old.st_uid if us == 0 else us, old.st_gid if ours else os.getegid())


def _refuse_others(path: Path, old: os.stat_result, owner: int, group: int) -> None:
    mode = old.st_mode
    everybody = mode & 0o444 == 0o444
    by_group = mode & stat.S_IRGRP != (mode & stat.S_IROTH) << 3
    if not everybody and (owner != old.st_uid or (group != old.st_gid and by_group)):
        raise OwnerError(
            f"{path} belongs to user {old.st_uid} and group {old.st_gid}, and would come to belong to "
            f"{owner} and {group}, so that others could read it (mode {stat.S_IMODE(mode):o}): run as its "
            "owner"
        )


def replace_text(path: Path, text: str) -> None:
    """Write a whole file in UTF-8, or leave it as it was."""
    with replacing(path) as written:
        written.write_text(text, encoding="utf-8")


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
