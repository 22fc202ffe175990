"""A child process that answers one JSON line with one JSON line."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from devtools.vespa_peer.build import class_path


class PeerError(RuntimeError):
    """The Java process died, or took too long; the message ends with its log."""


class LineProcess:
    """Our Java main with the given arguments; its log goes to a file below ``target/``."""

    def __init__(self, arguments: Sequence[str], *, log: Path, heap: str = "512m") -> None:
        self._log = log
        jvm = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", f"-Xmx{heap}"]
        self._stderr = log.open("wb")
        self._process = subprocess.Popen(
            ["nice", "java", *jvm, "-cp", class_path(), "mrse.peer.Main", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            cwd=log.parent,  # Vespa writes access logs below its working directory
            start_new_session=True,  # a Ctrl-C of the tests' is ours to handle, not Java's
        )
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._lock = threading.Lock()
        #: Whether an answer is still to come that nobody waits for any more: it is not the next one's.
        self._late = False
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, request: dict[str, Any], timeout: float = 300.0) -> dict[str, Any]:
        """The answer to one request; requests from several threads take turns.

        Raises:
            PeerError: the process died or did not answer within ``timeout`` seconds.
        """
        with self._lock:
            assert self._process.stdin is not None
            if self._late:
                self.receive(timeout)
                self._late = False
            try:
                self._process.stdin.write(orjson.dumps(request) + b"\n")
                self._process.stdin.flush()
            except OSError as error:
                raise PeerError(self._story(f"died: {error}")) from error
            self._late = True
            answer = self.receive(timeout)
            self._late = False
            return answer

    def cpu_seconds(self) -> float:
        """CPU that the process has used; 0 where the system does not tell."""
        try:
            told = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return 0.0
        user, system = told.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def receive(self, timeout: float) -> dict[str, Any]:
        """The next line."""
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise PeerError(self._story(f"said nothing for {timeout} s")) from None
        if not line:
            self._lines.put(line)  # `close` waits for it too
            raise PeerError(self._story("died"))
        answer: dict[str, Any] = orjson.loads(line)
        return answer

    def close(self) -> None:
        """End it: it stops by itself when its standard input ends."""
        if self._stderr.closed:
            return
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._lines.get(timeout=5)  # the end of its output: the reader is done
        self._process.stdout.close()
        self._stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            for line in self._process.stdout:
                self._lines.put(line)
        self._lines.put(b"")

    def _story(self, what: str) -> str:
        log = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        return f"the Vespa peer {what}\n" + "\n".join(line[:500] for line in log)
