"""What ``POST /recall`` takes with all that operations may turn on, and with all of it off:
``benchmarks.recall --on-off``.

On are the access log, traces to a collector at their default share, an exposure for each answer, a holdout,
two experiments whose arms change options, and a live search asked again each second. Off is each of them;
counting metrics is on in both, since nothing turns it off.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.recall_before import Served, starts_of
from benchmarks.servers import ROOT
from benchmarks.turns import Runs

_OFF = """
[server]
access_log = false
recall_check_every_s = 0
"""
_ON = """
[server]
recall_check_every_s = 1.0
[tracing]
endpoint = "{collector}"
[exposures]
sink = "jsonl"
folder = "{folder}"
key = "0123456789abcdef0123456789abcdef"
[assignment]
holdout = 0.05
[experiments.i2i.a]
weight = 50
[experiments.i2i.b]
weight = 50
recall = {{i2i = {{relevance_floor = 0.21}}}}
[experiments.merge.a]
weight = 50
[experiments.merge.b]
weight = 50
recall = {{rrf_k = 61}}
"""


class _Takes(BaseHTTPRequestHandler):
    """Takes whatever is sent to it."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def _collector() -> Iterator[str]:
    """The address of a collector of traces that keeps nothing."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Takes) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/traces"
        server.shutdown()
        thread.join()


def on_and_off(
    bundle: Path, index: Path, requests: tuple[list[str], list[str]], starts: int, rounds: int
) -> list[Runs]:
    """What each start of both gave; the service with all of it off comes first.

    Args:
        bundle: that both serve.
        index: that both search.
        requests: items that histories are made of; queries, some of which are asked again and again.
        starts: of both servers.
        rounds: blocks of each kind of request, in each start.
    """
    with TemporaryDirectory() as made, _collector() as collector:
        served = {}
        on = _ON.format(collector=collector, folder=Path(made, "exposures"))
        for name, text in {"off": _OFF, "on": on}.items():
            path = Path(made, f"{name}.toml")
            path.write_text(text)
            served[name] = Served(ROOT, index, ("--config", str(path)))
        return starts_of(served, bundle, requests, starts, rounds)
