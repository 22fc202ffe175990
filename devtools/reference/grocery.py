"""Of ``docs/measured.md``: the table of photos, from the report of `benchmarks.grocery`."""

from __future__ import annotations

import json

from devtools.reference.results import RESULTS

_SYSTEM = "given pictures"


def made() -> str:
    """Recall@1 and Recall@10 of each task, with their intervals."""
    tasks = json.loads((RESULTS / "grocery-given-pictures.json").read_text())["runs"]["recall"][_SYSTEM]
    lines = ["", "| task | Recall@1 | Recall@10 |", "|---|---|---|"]
    for task, figures in tasks.items():
        cells = [
            f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
            for found in (figures["R@1"], figures["R@10"])
        ]
        lines.append(f"| {task.replace('->', '→')} | {cells[0]} | {cells[1]} |")
    return "\n".join([*lines, "", ""])
