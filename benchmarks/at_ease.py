"""A service whose answers are judged, not its speed: load makes it leave nothing out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.servers import server
from devtools.waiting import free_port

#: A busy machine shall not leave routes out: what is judged is the mix, not what load does to it.
_AT_EASE = """
[server]
access_log = false
[limits]
shed_candidates_at = 1.0
shed_portrait_at = 1.0
[recall.i2i]
shed_at = 1.0
[recall.p2i]
shed_at = 1.0
"""


@contextmanager
def at_ease(bundle: Path, index: Path, folder: Path) -> Iterator[str]:
    """A service with the default mix, by its URL.

    Args:
        bundle, index: folders of what it serves.
        folder: its configuration and its log are written here.

    Raises:
        ServerFailed: it ended, or was not ready in five minutes.
    """
    port, config = free_port(), folder.resolve() / "mrse.toml"
    config.write_text(_AT_EASE)
    command = [sys.executable, "-c", "from cli.main import main; main()", "serve", "--port", str(port)]
    command += ["--bundle", str(bundle.resolve()), "--index", str(index.resolve()), "--config", str(config)]
    with server(command, port, "/readyz", folder / "service.log", patience_s=300):
        yield f"http://127.0.0.1:{port}"
