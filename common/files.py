"""A file is written beside its place and then takes it, so that nobody ever reads half of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
