"""Memory that the C library holds though it was freed."""

from __future__ import annotations

import ctypes
import sys

#: ``M_ARENA_MAX`` of ``mallopt``, and how many arenas threads share.
_ARENA_MAX, _ARENAS = -8, 2


def share_arenas() -> None:
    """Let all threads allocate from two arenas. Call it before there are threads.

    glibc would give each new thread one, up to eight a core; what is freed in an arena is of no use to the
    others, so a service whose bundles and searches come with threads of their own holds ever more.
    """
    if sys.platform == "linux" and (option := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        option(_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Give freed memory back to the system, where the C library keeps it: glibc does, for what comes next.

    Takes milliseconds and does not hold the interpreter; call it on a thread, after much was freed.
    """
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none, and keeps nothing
    if trim is not None:
        trim(0)
