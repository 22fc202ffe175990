"""Memory of the service over the embedded index: bytes an item, and two workers against one.

``python -m benchmarks.memory [--quick] --json FILE``

Servers are started as users start them (``mrse serve --workers N``), asked until the pages that queries
touch are in memory, and measured by proportional set size: a page that several processes map counts once
between them. *bytes an item* is how the files of the index are made up, and what one worker holds of them
above a worker over an index of a hundred items.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from artifacts.bundle import Bundle
from benchmarks import load
from benchmarks.recall import HITS, Bodies
from benchmarks.recall_data import make_index
from benchmarks.report import Claim, arguments, finish
from benchmarks.servers import processes, server
from cli.demo_files import demo_bundle
from devtools.waiting import free_port
from index.embedded.manifest import MANIFEST_NAME, IndexManifest

SMALL = 100


def pss_mb(pid: int) -> float:
    """Proportional set size in MB of one process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))


def measure(bundle: Bundle, index: Path, workers: int, bodies: Bodies, folder: Path) -> dict[str, Any]:
    """All processes of a service, the parent of several workers included."""
    port = free_port()
    command = [
        sys.executable,
        "-c",
        "from cli.main import main; main()",
        "serve",
        "--bundle",
        str(bundle.path),
    ]
    command += ["--index", str(index), "--port", str(port), "--workers", str(workers)]
    with server(command, port, "/recall", folder / "log", body=bodies.hits()[0], patience_s=180) as group:
        asked = bodies.mixed("remembered", 2 * HITS, 0.0)
        found = load.run(port, "/recall", asked, folder, connections=8, seconds=6.0)
        each = sorted((round(pss_mb(pid), 1) for pid in processes(group)), reverse=True)
    return {
        "workers": workers,
        "asked": found["answered"],
        "processes_mb": each,
        "pss_mb": round(sum(each), 1),
    }


def files(index: Path, rows: int) -> dict[str, float]:
    """Bytes an item on disk, by file."""
    manifest = IndexManifest.model_validate_json((index / MANIFEST_NAME).read_bytes())
    return {name: round(entry.bytes / rows, 2) for name, entry in manifest.files.items()}


def plot(runs: dict[str, Any], target: Path) -> None:
    """Megabytes of each service, its processes on top of one another; bytes an item by file."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for name in ("small", "one", "two"):
        bottom = 0.0
        for size in runs[name]["processes_mb"]:
            left.bar(name, size, bottom=bottom, edgecolor="white", color="C0")
            bottom += size
    left.set_ylabel("MB (PSS), by process")
    left.set_title(f"service over {SMALL} and {runs['rows']:,} items")
    right.barh(list(runs["bytes_an_item"]), list(runs["bytes_an_item"].values()))
    right.set_title("bytes an item on disk")
    figure.savefig(target, dpi=120)


def main() -> int:
    """Measure, print, write."""
    options = arguments(
        "Memory of the service over the embedded index",
        [
            ("--bundle", {"type": Path, "help": "bundle folder; by default the shipped one"}),
            ("--rows", {"type": int, "help": "items; 1,000,000, or 20,000 with --quick"}),
            ("--data", {"type": Path, "default": Path(".run/bench-recall"), "help": "where data is kept"}),
        ],
    )
    if not Path("/proc/self/smaps_rollup").exists():
        print("not measured: this system has no /proc/PID/smaps_rollup")
        return finish([], {"measured": False}, options.json)
    bundle = Bundle.load((options.bundle or demo_bundle()).resolve())
    rows = options.rows or (20_000 if options.quick else 1_000_000)
    indexes = {
        count: make_index(bundle, (options.data / f"{count}-{bundle.version}").resolve(), count)
        for count in (SMALL, rows)
    }
    bodies = Bodies(bundle, 10_000)
    with tempfile.TemporaryDirectory() as folder:
        runs: dict[str, Any] = {
            "small": measure(bundle, indexes[SMALL], 1, bodies, Path(folder)),
            "one": measure(bundle, indexes[rows], 1, bodies, Path(folder)),
            "two": measure(bundle, indexes[rows], 2, bodies, Path(folder)),
        }
    runs |= {"rows": rows, "bytes_an_item": files(indexes[rows], rows), "bundle": bundle.version}
    above = (runs["one"]["pss_mb"] - runs["small"]["pss_mb"]) * 2**20 / rows
    runs["resident_bytes_an_item"] = round(above, 1)
    for name in ("small", "one", "two"):
        print(f"{name:<6}{runs[name]['pss_mb']:>9.1f} MB   {runs[name]['processes_mb']}")
    print(f"an item: {sum(runs['bytes_an_item'].values()):.1f} bytes on disk, {above:.1f} in memory")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        plot(runs, options.json.with_suffix(".png"))
    ratio = runs["two"]["pss_mb"] / runs["one"]["pss_mb"]
    claims = [Claim.at_most("memory of two workers against one", ratio, 1.3, "x")]
    return finish(claims, runs, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
