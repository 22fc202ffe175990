"""A good client beside a thousand bad connections: does it lose anything, and what does it wait.

``python -m benchmarks.connections [--quick] [--connections N] [--nofile N] --json FILE``

A good client asks ``POST /recall`` again and again on one kept connection, alone and then beside a process
that keeps so many bad connections open: a third idle, and of the rest equal parts that drip a head, hold back
the last byte of a body, and ask without reading; on eight more a header or a body never ends. Who is cut off
comes again. At the same time ``/livez`` is asked on new connections. Afterwards descriptors and memory are
looked at, and how long the service takes to end while the bad clients still hold on. ``--nofile`` is the
limit of open files that the service gets: with one below the number of connections it has to choose.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from artifacts.bundle import Bundle
from benchmarks.overload_asks import Beside
from benchmarks.recall_data import make_index
from benchmarks.report import Claim, arguments, finish
from benchmarks.resources import descriptors, resident_mb
from benchmarks.servers import cpu_seconds, processes, server
from cli.demo_files import demo_bundle
from devtools.waiting import free_port

ITEMS = 4000
BODY = orjson.dumps({"query": "red running shoes", "k": 100})
ENDLESS = 8
#: A bad client that is cut off comes again after so long.
AGAIN_S = 0.5
_HEAD = b"POST /recall HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
_ASK = _HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


async def _idle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_HEAD)
    while not reader.at_eof():
        writer.write(b"X: y\r\n")
        await asyncio.sleep(2)


async def _hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_HEAD + b"Content-Length: 60000\r\n\r\n" + b" " * 59_999)
    await reader.read()


async def _unread(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    while True:
        writer.write(_ASK)
        await writer.drain()
        await asyncio.sleep(5)  # more would be load, which benchmarks.overload judges


async def _endless_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_HEAD + b"X: ")
    while not reader.at_eof():
        writer.write(b"y" * 65_536)
        await writer.drain()


async def _endless_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while not reader.at_eof():
        writer.write(b"10000\r\n" + b" " * 65_536 + b"\r\n")
        await writer.drain()


async def _attack(port: int, connections: int) -> None:
    """Keep the connections open for ever, in time that the service and its good client leave.

    Bad clients stand for other machines: their own work is no part of what is measured.
    """
    os.nice(19)
    third = connections // 3
    kinds = [_idle] * third + [_drip, _hold, _unread] * ((connections - third) // 3)
    kinds += [_endless_header, _endless_body] * (ENDLESS // 2)

    async def again(kind: Any, place: int) -> None:
        await asyncio.sleep(place / 500)
        while True:
            with suppress(OSError):
                sock = socket.socket()
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so little is read
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
                reader, writer = await asyncio.open_connection(sock=sock)
                try:
                    await kind(reader, writer)
                finally:
                    writer.transport.abort()
            await asyncio.sleep(AGAIN_S)

    await asyncio.gather(*(again(kind, place) for place, kind in enumerate(kinds)))


class Good:
    """Asks on one connection, a request every 20 ms; one that fails for want of an answer is lost."""

    def __init__(self, port: int) -> None:
        self.milliseconds: list[float] = []
        self.lost: Counter[str] = Counter()
        self._port = port
        self._kept = http.client.HTTPConnection("127.0.0.1", port, timeout=5)

    def ask(self, seconds: float) -> None:
        """Ask for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.perf_counter()
            try:
                self._kept.request("POST", "/recall", BODY, {"Content-Type": "application/json"})
                answer = self._kept.getresponse()
                answer.read()
                if answer.status != 200:
                    self.lost[str(answer.status)] += 1
            except (OSError, http.client.HTTPException) as error:
                self.lost[type(error).__name__] += 1
                self._kept.close()
            self.milliseconds.append((time.perf_counter() - began) * 1000)
            time.sleep(0.02)

    def report(self) -> dict[str, Any]:
        """Requests, those lost, and the quantiles of all."""
        p50, p99 = np.quantile(self.milliseconds, [0.5, 0.99])
        return {
            "requests": len(self.milliseconds),
            "lost": self.lost.total(),
            "why": dict(self.lost),
            "p50_ms": round(float(p50), 2),
            "p99_ms": round(float(p99), 2),
        }


def measure(folder: Path, connections: int, seconds: float, nofile: int | None) -> dict[str, Any]:
    """Alone, beside the attack, and after it."""
    bundle = Bundle.load(demo_bundle().resolve())
    index = make_index(bundle, folder / "index", ITEMS)
    port = free_port()
    command = [sys.executable, "-c", "from cli.main import main; main()", "serve"]
    command += ["--bundle", str(bundle.path), "--index", str(index), "--port", str(port)]
    command = ["env", "MRSE_SERVER_LOG_LEVEL=warning", "MRSE_SERVER_ACCESS_LOG=false", *command]
    if nofile is not None:
        command = ["prlimit", f"--nofile={nofile}:{nofile}", *command]
    log = folder / "server.log"
    with server(command, port, "/readyz", log) as session:
        Good(port).ask(2)
        alone = Good(port)
        alone.ask(seconds)
        before = {"descriptors": descriptors(session), "memory_mb": round(resident_mb(session), 1)}
        attack = [sys.executable, "-m", "benchmarks.connections", "--attack", str(port)]
        bad = subprocess.Popen([*attack, "--connections", str(connections)])
        try:
            beside, probe = Good(port), Beside(f"http://127.0.0.1:{port}/livez")
            cpu = cpu_seconds(session)
            with probe.asking():
                beside.ask(2 * seconds)
            cpu = cpu_seconds(session) - cpu
            during = {"descriptors": descriptors(session), "memory_mb": round(resident_mb(session), 1)}
            bad.send_signal(signal.SIGSTOP)  # as clients that are there and do nothing
            time.sleep(1)
            began = time.monotonic()
            os.kill(session, signal.SIGTERM)
            with suppress(TimeoutError):
                _wait_for_end(session, 30)
            ended_s = round(time.monotonic() - began, 2)
        finally:
            bad.kill()
            bad.wait()
    return {
        "alone": alone.report(),
        "beside": beside.report(),
        "probe": {"asked": len(probe.milliseconds), "failed": probe.failed, "p99_ms": probe.p99_ms()},
        "before": before,
        "during": during,
        "cpu_s": round(cpu, 2),
        "ended_s": ended_s,
        "log_lines": len(log.read_bytes().splitlines()),
    }


def _wait_for_end(session: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    while processes(session):
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.05)


def main() -> int:
    """Run it."""
    options = arguments(
        __doc__ or "",
        [
            ("--connections", {"type": int, "default": 1000}),
            ("--nofile", {"type": int}),
            ("--attack", {"type": int, "metavar": "PORT", "help": "only attack a service"}),
        ],
    )
    if options.attack is not None:
        asyncio.run(_attack(options.attack, options.connections))
    with tempfile.TemporaryDirectory() as folder:
        seconds = 5.0 if options.quick else 30.0
        run = measure(Path(folder), options.connections, seconds, options.nofile)
    ratio = run["beside"]["p99_ms"] / run["alone"]["p99_ms"]
    claims = [
        Claim.at_most("requests that the good client lost", run["beside"]["lost"], 0),
        Claim.at_most("p99 beside the bad connections, of alone", ratio, 2),
        Claim.at_most("probes that failed", run["probe"]["failed"], 0),
        Claim.at_most("memory gained", run["during"]["memory_mb"] - run["before"]["memory_mb"], 200, "MB"),
        Claim.at_most("seconds to end", run["ended_s"], 8, "s"),
        Claim.at_most("lines in the log", run["log_lines"], 20),
    ]
    return finish(claims, run, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    raise SystemExit(main())
