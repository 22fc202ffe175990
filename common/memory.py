"""Memory that the C library holds though it was freed."""

from __future__ import annotations

import ctypes
import sys
import threading

#: ``M_ARENA_MAX`` of ``mallopt``, and how many arenas there are.
_ARENA_MAX, _ARENAS = -8, 1


def share_arena() -> None:
    """Let all threads allocate from one arena. Call it before there are threads.

    glibc would give each new thread one, up to eight a core; what is freed in an arena is of no use to the
    others, so a service whose bundles and searches come with threads of their own holds ever more. And
    `give_back` cuts off what is free at the end of the first arena alone: of a second one, megabytes would
    stay, more or less by what came last.
    """
    if sys.platform == "linux" and (option := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        option(_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Give freed memory back to the system, where the C library keeps it: glibc does, for what comes next.

    Takes 0.1 ms for each megabyte that was freed and does not hold the interpreter, but who allocates more
    than small objects meanwhile waits; call it on a thread, after much was freed.
    """
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none, and keeps nothing
    if trim is not None:
        trim(0)


def give_back_after(seconds: float) -> None:
    """`give_back` so many seconds from now, on a thread of its own, when who still uses what goes is done."""
    later = threading.Timer(seconds, give_back)
    later.name, later.daemon = "give-memory-back", True
    later.start()
