"""How the processes of several workers are started, so that they share the pages of their libraries."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, get_context
from multiprocessing.context import BaseContext
from pathlib import Path


def start_method(libraries: Sequence[str]) -> BaseContext:
    """Forks of a process that has imported some modules and done nothing else.

    Libraries may be forked, what they open may not: sessions and indexes belong to each fork. Elsewhere
    than on Linux, where not all libraries can be forked either, new processes.

    Args:
        libraries: modules to import; one that is not there is left to the forks.
    """
    if sys.platform != "linux":
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(list(libraries))
    # It imports before it is told where from: as this process does, and never from the working directory.
    paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    with environment({"PYTHONPATH": paths, "PYTHONSAFEPATH": "1"}):
        forkserver.ensure_running()
    return context


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Variables for the processes that are started meanwhile."""
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
