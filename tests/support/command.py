"""The ``mrse`` command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def mrse(
    *arguments: str, cwd: Path = ROOT, path: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run it in ``cwd``; modules in ``path`` win over installed ones."""
    found = os.pathsep.join(map(str, filter(None, (path, ROOT))))
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", "from cli.main import main; main()", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": found, "COLUMNS": "200", "NO_COLOR": "1"} | variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
