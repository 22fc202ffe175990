"""Serves under a loop that is watched: ``python -m devtools.cost.service PORT BUNDLE INDEX [REDIS]``."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

from uvicorn.config import LOOP_FACTORIES

from service.process import server
from service.settings import load_settings

#: What callers of the admin API show.
TOKEN = "cost"


def main() -> None:
    """Serve until a signal comes."""
    port, bundle, index = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    # Without one nobody listens: events are read, and cannot be written.
    redis = sys.argv[4] if sys.argv[4:] else "redis://127.0.0.1:1/0"
    groups: dict[str, dict[str, Any]] = {
        "bundle": {"path": bundle},
        "index": {"path": index},
        "server": {"port": port, "admin_token": TOKEN},
        "events": {"stream": "cost", "redis_url": redis},
        # Time is not what is judged, and the machine may be busy.
        "deadline": {"default_ms": 10_000},
    }
    # What the service asks uvicorn for; it needs nothing that only that loop has.
    LOOP_FACTORIES["uvloop"] = "devtools.cost.watch:watched_loop"
    server.run(partial(load_settings, None, groups))


if __name__ == "__main__":
    main()
