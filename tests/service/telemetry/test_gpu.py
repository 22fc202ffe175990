"""Memory of graphics cards, read from a library of NVIDIA's name that pretends there are two."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.telemetry.gpu import watch_cards
from service.telemetry.metrics import Metrics
from tests.support.command import ROOT

COMPILER = shutil.which("cc")
#: What `nvidia-ml-py` calls.
LIBRARY = """
#include <string.h>
typedef struct { unsigned long long total, free, used; } memory;
static int lost;
int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    *device = (void *)(long)(index + 1); return 0;
}
int nvmlDeviceGetMemoryInfo(void *device, memory *found) {
    if ((long)device == 2 && lost++ > 1) return 15;  /* the second falls off the bus */
    found->total = 80ull << 30; found->used = (unsigned long long)(long)device << 30;
    found->free = found->total - found->used; return 0;
}
const char *nvmlErrorString(int result) { return "lost"; }
"""
PROGRAM = """
from service.telemetry.gpu import watch_cards
from service.telemetry.metrics import Metrics
metrics = Metrics()
print(watch_cards(metrics, ["CUDAExecutionProvider", "CPUExecutionProvider"]))
for _ in range(2):
    lines = metrics.render().decode().splitlines()
    print(*(line for line in lines if line.startswith("mrse_gpu")), sep="\\n")
"""


def run(folder: Path) -> list[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "LD_LIBRARY_PATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")


@pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
def test_the_memory_of_each_card_is_told(tmp_path: Path) -> None:
    pytest.importorskip("pynvml")
    (tmp_path / "nvml.c").write_text(LIBRARY)
    made = tmp_path / "libnvidia-ml.so.1"
    subprocess.run(
        [str(COMPILER), "-shared", "-fPIC", "-o", str(made), str(tmp_path / "nvml.c")], check=True, timeout=60
    )
    told = run(tmp_path)
    assert told[0] == "2"
    assert told[1:5] == [
        'mrse_gpu_memory_used_bytes{gpu="0"} 1.073741824e+09',
        'mrse_gpu_memory_used_bytes{gpu="1"} 2.147483648e+09',
        'mrse_gpu_memory_total_bytes{gpu="0"} 8.589934592e+10',
        'mrse_gpu_memory_total_bytes{gpu="1"} 8.589934592e+10',
    ]
    assert 'mrse_gpu_memory_used_bytes{gpu="1"} NaN' in told[5:], "a card that is lost breaks no scrape"


def test_where_nothing_runs_on_a_card_or_there_is_no_driver_there_are_no_such_metrics() -> None:
    metrics = Metrics()
    assert watch_cards(metrics, ["CPUExecutionProvider"]) == 0
    if not Path("/proc/driver/nvidia").exists():
        assert watch_cards(metrics, ["CUDAExecutionProvider"]) == 0
    assert b"mrse_gpu" not in metrics.render()
