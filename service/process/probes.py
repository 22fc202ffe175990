"""``/livez``, ``/readyz`` and ``/metrics`` on a thread and a port of their own.

Whatever the event loop is busy with, a probe is answered, and load is not taken for death. A loop that hangs
is told from one that is busy: a busy one still moves. One process answers for itself; the parent of several
workers answers for all of them, by what they note in the folder of their metrics.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import uvicorn
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from service.errors import StartError
from service.scope import CONNECTIONS
from service.settings import Server
from service.telemetry.exposition import content_type, merged, noted, takes_open
from service.telemetry.metrics import NOTE_EVERY_S

if TYPE_CHECKING:
    from service.runtime import Runtime

#: A loop that has not moved for so long hangs. No turn of it takes a tenth of that.
HUNG_S = 10.0
#: Metrics are rendered again no sooner: that takes milliseconds of the interpreter, which the loop shares.
_RENDER_EVERY_S = 0.5
#: Connections at once; probes and scrapers need a few.
_CONNECTIONS = 64
_PATIENCE_S = 5
_JSON = b"application/json"


class OneProcess:
    """What a process says of itself."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def hung(self) -> str | None:
        """Why it should be ended, if it should."""
        moved = self._runtime.admission.pulse.moved
        return None if not moved else _hung(time.monotonic() - moved)

    def reasons(self) -> list[str]:
        """Why it cannot answer; none where it can."""
        return self._runtime.health.reasons

    def metrics(self, is_open: bool = False) -> bytes:
        """Its metrics, as the loop last noted them; as OpenMetrics, or as text."""
        return self._runtime.metrics.rendered(is_open)


class Workers:
    """What the parent of several workers says of them all.

    Args:
        folder: where they count together; None where each counts for itself, and only it can tell.
        reasons: why they cannot answer, as they last told.
    """

    def __init__(self, folder: Path | None, reasons: Callable[[], list[str]]) -> None:
        self._folder = folder
        self._reasons = reasons

    def hung(self) -> str | None:
        """Why all should be ended: the loop of none of them moves."""
        moved = [] if self._folder is None else noted(self._folder, "loop_moved_seconds")
        return _hung(time.time() - max(moved) - NOTE_EVERY_S) if moved else None

    def reasons(self) -> list[str]:
        """Why they cannot answer; none where some worker can."""
        return self._reasons()

    def metrics(self, is_open: bool = False) -> bytes:
        """Their metrics together; as OpenMetrics, or as text."""
        if self._folder is None:
            return b"# EOF\n" if is_open else b""
        return merged(self._folder, is_open)


def _hung(seconds: float) -> str | None:
    return f"the event loop has not moved for {seconds:.0f} s" if seconds > HUNG_S else None


class Probes:
    """An ASGI application that answers for somebody else."""

    def __init__(self, of: OneProcess | Workers) -> None:
        self._of = of
        #: By whether it is OpenMetrics: what was rendered last, and when.
        self._rendered: dict[bool, tuple[bytes, float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; and say, when the server starts, what its connections may take."""
        if scope["type"] == "lifespan":
            await _start(scope, receive, send)
            return
        status, kind, body = self._answer(scope["method"], scope["path"], Headers(scope=scope).get("accept"))
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _answer(self, method: str, path: str, accept: str | None) -> tuple[int, bytes, bytes]:
        if method not in ("GET", "HEAD"):
            return _json(405, "only GET is answered here")
        if path == "/livez":
            hung = self._of.hung()
            return _json(200, "ok") if hung is None else _json(503, "hung", [hung])
        if path == "/readyz":
            reasons = self._of.reasons()
            return _json(503, "not ready", reasons) if reasons else _json(200, "ready")
        if path == "/metrics":
            now, is_open = time.monotonic(), takes_open(accept)
            rendered, at = self._rendered.get(is_open, (b"", float("-inf")))
            if now - at > _RENDER_EVERY_S:
                rendered = self._of.metrics(is_open)
                self._rendered[is_open] = rendered, now
            return 200, content_type(is_open).encode(), rendered
        return _json(404, "there are /livez, /readyz and /metrics here")


async def _start(scope: Scope, receive: Receive, send: Send) -> None:
    from service.process.connections import Bounds, Connections
    from service.process.hosts import AllowedHosts

    bounds = Bounds(open=_CONNECTIONS, idle_s=_PATIENCE_S)
    scope["state"][CONNECTIONS] = Connections(bounds, AllowedHosts((), ""))
    for done in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{done}.complete"})


def _json(status: int, word: str, reasons: list[str] | None = None) -> tuple[int, bytes, bytes]:
    return status, _JSON, orjson.dumps({"status": word} | ({"reasons": reasons} if reasons else {}))


@contextmanager
def probing(settings: Server, of: Callable[[], OneProcess | Workers]) -> Iterator[None]:
    """Answer probes on ``probe_port`` until the block is left; nothing where that is 0.

    Args:
        settings: where.
        of: makes what is answered for.

    Raises:
        StartError: the port is taken.
    """
    if not settings.probe_port:
        yield
        return
    config = uvicorn.Config(
        Probes(of()),
        host=settings.host,
        port=settings.probe_port,
        http="service.process.protocol:Protocol",  # by name: a parent of workers need not load it
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=0,
    )
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.probe_port), family=family)
    except OSError as error:
        where = f"{settings.host}:{settings.probe_port}"
        raise StartError(f"cannot listen on {where} for probes: {error.strerror}") from error
    server = uvicorn.Server(config)
    # Daemon: a process that ends in any other way does not wait for it.
    thread = threading.Thread(target=server.run, args=([listener],), name="mrse-probes", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_PATIENCE_S)
        listener.close()
