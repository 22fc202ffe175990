"""Processes that end with the process that started them, however that ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process as soon as its parent has ended; on Linux, elsewhere nothing happens.

    The parent is the *thread* that started this process. A process that multiprocessing's fork server forked
    is the fork server's child, not its user's: it should also end when its pipe to the user ends.

    Args:
        parent: the parent's process id. Where the parent is another by now, it ended before this call, and
            this process ends at once.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os._exit(1)
