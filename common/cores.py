"""How many cores this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

#: What a container's processes may use together: microseconds of a period, and the period.
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
#: What the libraries behind numpy (OpenBLAS, MKL, BLIS, Accelerate) read when they are loaded.
BLAS_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def usable_cores(quota: Path = _QUOTA) -> int:
    """The cores that the process may run on, of which a container's limit and ``OMP_NUM_THREADS`` take away.

    Args:
        quota: the file of the container's limit, which need not be there.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        most, period = quota.read_text().split()
        if most != "max":
            cores = min(cores, math.ceil(int(most) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        pass  # no limit that can be read
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdecimal():  # whoever sets it shares the machine
        cores = min(cores, int(threads))
    return max(1, cores)


def keep_blas_to_one_thread() -> None:
    """Let numpy multiply on the thread that asks. For a server, before numpy is loaded.

    It shares products of some hundred rows between all cores, and spins until the last is done. Where a core
    has other work, 0.03 ms become 20 ms of waiting and 4 ms of processor time. Who sets one of the libraries'
    variables is left to it.
    """
    for variable in BLAS_VARIABLES:
        os.environ.setdefault(variable, "1")
