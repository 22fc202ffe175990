"""Memory that was freed and is still held."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Give freed memory back to the system, where the C library keeps it: glibc does, for what comes next.

    Takes milliseconds and does not hold the interpreter; call it on a thread, after much was freed.
    """
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none, and keeps nothing
    if trim is not None:
        trim(0)
