"""What runs in the picture processes: a parent that forks lanes, and the lanes, with a picture at a time.

The parent has imported Pillow and does nothing but fork and kill, so a lane starts in milliseconds and shares
its pages. Nothing of the service is loaded here, and no thread is started, which a fork would lose.

The service holds the other end of ``control`` and of each lane's socket. When it dies, however it does, the
kernel closes them: the parent then kills its lanes and ends. Signals for the whole group (Ctrl-C, a service
manager's SIGTERM) are left to the service, which still has requests to finish.
"""

from __future__ import annotations

import io
import os
import resource
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from PIL import Image

from artifacts.pictures.decode import decode_rgb
from artifacts.pictures.head import PictureError
from common.parent import die_with_parent
from service.query.decoder.wire import (
    COMMAND,
    DAMAGED,
    ENDED,
    FORK,
    HELLO,
    MEMORY,
    OK,
    REPLY,
    REQUEST,
)


def main() -> None:
    """Fork and kill lanes as ``control`` says, until the service is gone.

    The arguments are the descriptor of ``control``, the bytes of memory that a picture may take, and its
    seconds of CPU.
    """
    control = socket.socket(fileno=int(sys.argv[1]))
    memory, seconds = int(sys.argv[2]), float(sys.argv[3])
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    _warm_up()
    lanes: set[int] = set()
    try:
        while True:
            message, sockets, _, _ = socket.recv_fds(control, COMMAND.size, 1, socket.MSG_WAITALL)
            if len(message) < COMMAND.size:
                return
            command, process = COMMAND.unpack(message)
            if command == FORK:
                lanes.add(_fork(control, sockets[0], memory, seconds))
            else:
                lanes.discard(process)
                control.sendall(ENDED.pack(*_end(process)))
    except OSError:
        return
    finally:
        for process in lanes:
            _end(process)


def _fork(control: socket.socket, descriptor: int, memory: int, seconds: float) -> int:
    parent = os.getpid()
    process = os.fork()
    if process:
        os.close(descriptor)
        return process
    try:
        control.close()
        _limit(parent, memory)
        with socket.socket(fileno=descriptor) as lane, suppress(OSError):
            _serve(lane, seconds)
    finally:
        os._exit(0)


def _end(process: int) -> tuple[int, float]:
    """Kill a lane that may be dead already: its wait status and the CPU seconds that it used."""
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    try:
        _, status, used = os.wait4(process, 0)
    except ChildProcessError:
        return 0, 0.0
    return status, used.ru_utime + used.ru_stime


def _limit(parent: int, memory: int) -> None:
    """Bounds that the kernel keeps, whatever the decoder does."""
    if sys.platform == "linux":
        die_with_parent(parent)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _bound(resource.RLIMIT_AS, pages * resource.getpagesize() + memory)
        # Where the machine has too little memory after all, the kernel shall take a lane and not the service.
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
    _bound(resource.RLIMIT_CORE, 0)
    _bound(resource.RLIMIT_FSIZE, 0)


def _bound(what: int, limit: int) -> None:
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _serve(lane: socket.socket, seconds: float) -> None:
    lane.sendall(HELLO.pack(os.getpid()))
    while head := _receive(lane, REQUEST.size):
        side, length = REQUEST.unpack(head)
        data = _receive(lane, length)
        # Should nobody be left to kill it: whole seconds, the kernel's own clock of the CPU.
        _bound(resource.RLIMIT_CPU, int(time.process_time() + seconds) + 2)
        answer, content = _decode(data, side)
        lane.sendall(REPLY.pack(answer, time.process_time(), len(content)) + content)


def _decode(data: bytes, side: int) -> tuple[bytes, bytes]:
    try:
        return OK, decode_rgb(data, side)
    except PictureError as error:
        return DAMAGED, str(error).encode(errors="replace")
    except MemoryError:
        return MEMORY, b""
    except Exception as error:  # a fault of the decoder: the lane goes on
        return DAMAGED, f"damaged picture: {type(error).__name__}".encode()


def _receive(lane: socket.socket, size: int) -> bytes:
    """That many bytes; nothing where the service is gone."""
    found = bytearray(size)
    if lane.recv_into(found, size, socket.MSG_WAITALL) < size:
        return b""
    return bytes(found)


def _warm_up() -> None:
    """Decode a picture of each kind, so that lanes find all that Pillow imports."""
    exif = Image.Exif()
    exif[0x0112] = 1
    for kind in ("PNG", "JPEG"):
        stream = io.BytesIO()
        Image.new("RGB", (8, 8)).save(stream, kind, exif=exif)
        decode_rgb(stream.getvalue(), 8)


if __name__ == "__main__":
    main()
