"""Serves the demo shop under a loop that is watched: ``python -m devtools.cost.service FOLDER PORT``."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from cli.commands.demo import prepare
from cli.demo_files import demo_bundle
from common.progress import silent
from service.process import server
from service.settings import load_settings

ITEMS = 2000
#: What callers of the admin API show.
TOKEN = "cost"


def main() -> None:
    """Make what is missing of the demo's files, and serve until a signal comes."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    bundle = demo_bundle()
    _, index = prepare(folder, bundle, ITEMS, silent)
    groups: dict[str, dict[str, Any]] = {
        "bundle": {"path": bundle},
        "index": {"path": index},
        "server": {"port": port, "admin_token": os.environ.get("MRSE_COST_TOKEN", TOKEN)},
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
