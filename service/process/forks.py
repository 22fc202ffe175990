"""How the processes of several workers are started: as forks that share the pages of their libraries."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, get_context
from multiprocessing.context import BaseContext
from pathlib import Path


def start_method(libraries: Sequence[str]) -> BaseContext:
    """Start a process that imports some modules and does nothing else; workers are its forks.

    Libraries may be forked, but not what they open: sessions and indexes belong to each fork. Outside Linux
    not all libraries can be forked, so there workers are new processes.

    Args:
        libraries: modules to import; one that cannot be imported is left to the forks.
    """
    if sys.platform != "linux":
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(list(libraries))
    # The fork server imports before it is told the path, so it gets the path of this process here; without
    # the working directory, which might hold a file of a library's name.
    paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    with environment({"PYTHONPATH": paths, "PYTHONSAFEPATH": "1"}):
        forkserver.ensure_running()
    return context


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the processes that are started inside the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
