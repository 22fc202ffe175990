"""Serves under a loop that is watched: ``python -m devtools.cost.service PORT BUNDLE INDEX``."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from service.process import server
from service.settings import load_settings

#: What callers of the admin API show.
TOKEN = "cost"


def main() -> None:
    """Serve until a signal comes."""
    port, bundle, index = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    groups: dict[str, dict[str, Any]] = {
        "bundle": {"path": bundle},
        "index": {"path": index},
        "server": {"port": port, "admin_token": TOKEN},
        # Time is not what is judged, and the machine may be busy.
        "deadline": {"default_ms": 10_000},
    }
    _watch_the_loop()
    server.run(partial(load_settings, None, groups))


def _watch_the_loop() -> None:
    made = server._config

    def config(*arguments: Any, **named: Any) -> uvicorn.Config:
        watched = made(*arguments, **named)
        watched.loop = "devtools.cost.watch:WatchedLoop"
        return watched

    server._config = config


if __name__ == "__main__":
    main()
