"""An event loop that notes for how long it was held, as processor time, which a busy machine blurs least."""

from __future__ import annotations

import asyncio
import mmap
import os
import struct
import time
from pathlib import Path

#: Names the file that a `WatchedLoop` notes in.
VARIABLE = "MRSE_COST_WATCH"
_NOTE = struct.Struct("<d")


class Watch:
    """The longest turn of a loop since the last `reset`, in seconds; of this process or of another."""

    def __init__(self, path: Path | None = None) -> None:
        if path is None:
            self._memory = mmap.mmap(-1, _NOTE.size)
        else:
            if not path.exists():
                path.write_bytes(bytes(_NOTE.size))
            with path.open("r+b") as file:
                self._memory = mmap.mmap(file.fileno(), _NOTE.size)

    @property
    def longest(self) -> float:
        """Seconds."""
        return float(_NOTE.unpack_from(self._memory)[0])

    def note(self, seconds: float) -> None:
        """A turn took so long."""
        if seconds > self.longest:
            _NOTE.pack_into(self._memory, 0, seconds)

    def reset(self) -> None:
        """Begin anew."""
        _NOTE.pack_into(self._memory, 0, 0.0)


class WatchedLoop(asyncio.SelectorEventLoop):
    """Notes the processor time of its thread in each turn; waiting for sockets takes none."""

    def __init__(self, watch: Watch | None = None) -> None:
        super().__init__()
        self._watch = watch or Watch(Path(os.environ[VARIABLE]))

    def _run_once(self) -> None:
        began = time.thread_time()
        super()._run_once()  # type: ignore[misc]  # all loops of asyncio have it
        self._watch.note(time.thread_time() - began)


def watched_loop(use_subprocess: bool = False) -> type[WatchedLoop]:
    """What uvicorn asks for a loop."""
    return WatchedLoop


def resident_bytes(pid: int, *, peak: bool = False) -> int:
    """Memory of a process that is its own: what it holds now, or the most since `reset_peak`. Linux only."""
    name = "VmHWM:" if peak else "VmRSS:"
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)


def reset_peak(pid: int) -> None:
    """Let the peak of a process begin anew. Linux only."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
