"""Of ``docs/measured.md``: the table of photos, from the report of `benchmarks.grocery`."""

from __future__ import annotations

from devtools.reference.tables import head, line, runs_of

_SYSTEM = "given pictures"


def made() -> str:
    """Recall@1 and Recall@10 of each task, with their intervals."""
    tasks = runs_of("grocery-given-pictures")["recall"][_SYSTEM]
    lines = ["", *head(["task", "Recall@1", "Recall@10"])]
    for task, figures in tasks.items():
        cells = [
            f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
            for found in (figures["R@1"], figures["R@10"])
        ]
        lines.append(line([task.replace("->", "→"), *cells]))
    return "\n".join([*lines, "", ""])
