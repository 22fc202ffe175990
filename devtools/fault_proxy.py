"""A TCP proxy that lets something go wrong between a service and what it depends on."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Literal, Self

#: ``pass`` hands everything on. ``delay``: answers come late. ``stall``: nothing is handed on, connections
#: stay open. ``reset``: connections, old and new, are reset. ``garbage``: answers are noise. ``cut``: an
#: answer ends in the middle. ``drip``: answers come a byte at a time. ``refuse``: nobody listens.
Fault = Literal["pass", "delay", "stall", "reset", "garbage", "cut", "drip", "refuse"]

_PIECE = 65_536
_DRIP_S = 0.02


class FaultProxy:
    """Listens on a port of its own, on a thread of its own, and hands on to another port.

    Args:
        target: port of 127.0.0.1 that is behind it.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._fault: Fault = "pass"
        self._delay_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._flows: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._changed = asyncio.Event()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *error: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def set(self, fault: Fault, delay_s: float = 0.0) -> None:
        """Change what goes wrong, for connections that are open too.

        Args:
            fault: see `Fault`.
            delay_s: of every piece of an answer, with ``delay``.
        """
        self._run(self._set(fault, delay_s))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _close(self) -> None:
        await self._stop_listening()
        self._abort()
        for task in list(self._flows):
            task.cancel()
        await asyncio.gather(*self._flows, return_exceptions=True)

    async def _set(self, fault: Fault, delay_s: float) -> None:
        self._fault, self._delay_s = fault, delay_s
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        if fault == "refuse":
            await self._stop_listening()
        elif self._server is None:
            await self._listen()
        if fault in ("reset", "refuse"):
            self._abort()

    def _abort(self) -> None:
        for writer in list(self._writers):
            _reset(writer)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._fault == "reset":
            _reset(writer)
            return
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            _reset(writer)
            self._writers.discard(writer)
            return
        self._writers.add(far_writer)
        flows = {
            asyncio.ensure_future(self._hand_on(reader, far_writer, answers=False)),
            asyncio.ensure_future(self._hand_on(far_reader, writer, answers=True)),
        }
        self._flows |= flows
        await asyncio.wait(flows)
        self._flows -= flows
        for each in (writer, far_writer):
            self._writers.discard(each)
            each.close()

    async def _hand_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        with suppress(OSError):
            while piece := await reader.read(_PIECE):
                while self._fault == "stall":
                    await self._changed.wait()
                if answers:
                    await self._answer(piece, writer)
                else:
                    writer.write(piece)
                if writer.is_closing():
                    return
                await writer.drain()
        with suppress(OSError):
            writer.write_eof()

    async def _answer(self, piece: bytes, writer: asyncio.StreamWriter) -> None:
        match self._fault:
            case "delay":
                await asyncio.sleep(self._delay_s)
            case "garbage":
                piece = bytes(byte ^ 0x5A for byte in piece)
            case "cut":
                writer.write(piece[: len(piece) // 2])
                await writer.drain()
                _reset(writer)
                return
            case "drip":
                for byte in piece:
                    if writer.is_closing():
                        return
                    writer.write(bytes((byte,)))
                    await asyncio.sleep(_DRIP_S)
                return
        writer.write(piece)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the other side sees a reset, not an end."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    writer.transport.abort()
