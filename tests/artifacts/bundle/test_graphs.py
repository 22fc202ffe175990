"""Opening graphs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from cli.demo_files import demo_bundle

ROOT = Path(__file__).parents[3]

_OPEN = """
import sys
from pathlib import Path
from artifacts.bundle import open_graph
open_graph(Path(sys.argv[1]))
print(*(link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()), sep="\\n")
"""


def test_an_opened_graph_reports_to_nobody(tmp_path: Path) -> None:
    # Where it reports, it keeps what it has not sent yet in a database in the user's folder.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")
    }
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _OPEN, str(demo_bundle() / "query_fusion.onnx")]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert "onnxruntime.db" not in done.stdout
    assert not list(tmp_path.iterdir())
