"""The processes of the chaos judge: the service, which is killed and started again, and Vespa's container."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from benchmarks.servers import ROOT, processes, worker_processes
from devtools.vespa_peer.build import missing
from devtools.vespa_peer.peer import Peer, start_peer
from devtools.waiting import free_port
from index.vespa.names import document_type
from index.vespa.package.render import add_version
from index.vespa.version import Version

_CACHES = ("MRSE_CACHE_ENTRIES", "MRSE_CACHE_QUERIES", "MRSE_CACHE_NEIGHBOURS")
_MRSE = [sys.executable, "-c", "from cli.main import main; main()"]


class Service:
    """``mrse serve`` with full precision: in int8 an answer depends on what shares its batch.

    Args:
        folder: for its log.
        bundle: its folder.
        index: its folder, or the file of a version in Vespa.
        settings: variables of the environment.
        workers: processes that answer.
        caches: whether it keeps in process what it was asked before.
    """

    def __init__(
        self,
        folder: Path,
        bundle: Path,
        index: Path,
        settings: Mapping[str, str],
        *,
        workers: int = 2,
        caches: bool = False,
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / f"service-{self.port}.log"
        self._command = [*_MRSE, "serve", "--bundle", str(bundle), "--index", str(index)]
        self._command += ["--port", str(self.port), "--workers", str(workers)]
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "MRSE_BUNDLE_PRECISION": "fp32",
            "MRSE_SERVER_ACCESS_LOG": "false",
            **({} if caches else dict.fromkeys(_CACHES, "0")),
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._start()
        self.wait()
        return self

    def __exit__(self, *error: object) -> None:
        self._kill(signal.SIGTERM)
        self._kill(signal.SIGKILL)

    @property
    def session(self) -> int:
        """Of its processes."""
        assert self._process is not None
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process that was started."""
        assert self._process is not None
        self._process.send_signal(number)

    def workers(self) -> list[int]:
        """The processes that answer."""
        return worker_processes(self.session)

    def kill(self) -> None:
        """As a machine that loses its power."""
        self._kill(signal.SIGKILL)

    def start(self) -> None:
        """Start it again, until it is ready."""
        self._start()
        self.wait()

    def kill_and_start(self) -> None:
        """As a machine that loses its power and comes back."""
        self.kill()
        self.start()

    def stop_and_start(self) -> None:
        """As a rollout of one pod would."""
        self.send(signal.SIGTERM)
        assert self._process is not None
        self._process.wait(60)
        self._start()
        self.wait()

    def wait(self, seconds: float = 600) -> None:
        """Until it is ready: on a machine that is busy with other work that takes minutes."""
        assert self._process is not None
        end = time.monotonic() + seconds
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=5):
                    return
            except (OSError, urllib.error.URLError):
                if self._process.poll() is not None or time.monotonic() > end:
                    said = self._log.read_text(errors="replace")[-3000:]
                    raise TimeoutError(f"the service is not ready:\n{said}") from None
                time.sleep(0.1)

    def _start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

    def _kill(self, number: signal.Signals) -> None:
        assert self._process is not None
        session = self._process.pid
        for pid in processes(session):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            return
        end = time.monotonic() + 10
        while processes(session) and time.monotonic() < end:
            time.sleep(0.05)

    @staticmethod
    def produce(shop: Path, bundle: Path, embeddings: Path, redis: str) -> None:
        """Store portraits and the features of items, as the Embed-Producer does."""
        rest = ["--redis", redis]
        about = [str(shop), "--bundle", str(bundle), "--features", str(embeddings)]
        for command in (["portraits", *about], ["items", str(embeddings)]):
            subprocess.run(
                [*_MRSE, "produce", *command, *rest],
                check=True,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                capture_output=True,
                timeout=600,
            )


def vespa_parts(stack: ExitStack, folder: Path, bundle: Path, embeddings: Path) -> tuple[Peer, Path] | None:
    """Vespa's container with the embeddings fed, over two content nodes; None where it cannot run."""
    from artifacts.embeddings import EmbeddingsFolder

    if missing() is not None:
        return None
    package = folder / "vespa-package"
    application = add_version(package, Version.from_embeddings(EmbeddingsFolder.open(embeddings)))
    peer = stack.enter_context(start_peer(application, nodes=2))
    feed = ["vespa", "feed", str(embeddings), "--package", str(package), "--endpoint", peer.url]
    subprocess.run(
        [*_MRSE, *feed, "--journal", str(folder / "feed.journal")],
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=600,
    )
    return peer, package / "versions" / f"{document_type(bundle.name)}.json"
