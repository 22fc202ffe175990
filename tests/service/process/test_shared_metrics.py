"""The folder that workers count in: no disk without room kills them, and nothing is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from common.metrics import SHARED_VARIABLE
from service.process.shared_metrics import ROOM, shared_folder

ROOT = Path(__file__).parents[3]

#: Makes every label that the service has, in a process of its own, for prometheus-client is set up once.
_COUNT = """
import json, logging, os, resource, struct, sys
from pathlib import Path
if sys.argv[2:]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
from service.process.shared_metrics import count_as
warned = []
class Note(logging.Handler):
    def emit(self, record): warned.append(record.getMessage())
logging.getLogger().addHandler(Note())
folder = Path(sys.argv[1])
count_as(7)
from service.telemetry.metrics import Metrics
metrics = Metrics()
metrics.gauge("in_flight", "", lambda: 3)
for route in map(str, range(16)):
    for method in ("GET", "HEAD", "POST", "OPTIONS", "other"):
        for status in (200, 404, 500):
            metrics.request(route, method, status, 0.1)
metrics.note()
files = {}
for file in folder.glob("*.db"):
    stat, used = file.stat(), struct.unpack("i", file.read_bytes()[:4])[0]
    files[file.name] = [stat.st_size, stat.st_blocks * 512, used]
text = metrics.render().decode()
told = "in_flight 3.0" in text
print(json.dumps({"files": files, "warned": warned, "shared": metrics.shared, "told": told}))
"""


def count(folder: Path, *limit: int) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", _COUNT, str(folder), *map(str, limit)],
        env=os.environ | {SHARED_VARIABLE: str(folder), "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere blocks are not allocated")
def test_all_blocks_are_there_before_they_are_written(tmp_path: Path) -> None:
    found = count(tmp_path)
    assert set(found["files"]) >= {"counter_7.db", "histogram_7.db", "gauge_livesum_7.db"}
    for name, (size, allocated, used) in found["files"].items():
        assert allocated >= size, f"{name} has holes: a full disk would kill the worker"
        if not name.startswith("gauge"):
            assert size == ROOM
            assert used < ROOM / 2, f"{name} will grow beyond what is allocated"
    assert found["told"]


def test_without_room_a_worker_counts_for_itself_and_warns(tmp_path: Path) -> None:
    found = count(tmp_path, 4096)
    assert found["shared"] is None
    assert found["told"]
    (warned,) = found["warned"]
    assert "no room for shared metrics" in warned
    assert not list(tmp_path.glob("counter*"))


def test_folders_of_services_that_were_killed_are_removed_and_others_stay(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path\n"
        "from service.process.shared_metrics import shared_folder\n"
        "with shared_folder(Path(sys.argv[1])) as folder:\n"
        "    print(folder, flush=True)\n"
        "    sys.stdin.read() or os.kill(os.getpid(), 9)\n"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    killed, lives = (Path(process.stdout.readline().strip()) for process in started if process.stdout)
    (tmp_path / "other").mkdir()
    started[0].kill()
    started[0].communicate()
    with shared_folder(tmp_path) as ours:
        assert ours is not None
        assert str(os.getpid()) in ours.name
        assert not killed.exists()
        assert lives.exists()
    assert not ours.exists()
    assert (tmp_path / "other").exists()
    started[1].communicate("end")
    assert not lives.exists()


def test_where_no_folder_can_be_made_everything_goes_on_without(tmp_path: Path) -> None:
    with shared_folder(tmp_path / "missing") as folder:
        assert folder is None
        assert SHARED_VARIABLE not in os.environ
