"""Of ``docs/measured.md``: the tables of photos, from the report of `benchmarks.grocery`."""

from __future__ import annotations

from collections.abc import Iterator

from devtools.reference.tables import head, line, runs_of

_GIVEN = "given pictures"
_SCRATCH = {"whole": "MRSE", "no pictures": "without pictures", "no VBert": "without VBert", "BM25": "BM25"}
_TASKS = ("photo -> product", "text -> photo", "text -> product")


def given() -> str:
    """Of a frozen encoder: Recall@1 and Recall@10 of each task, with their intervals."""
    lines = ["", *head(["task", "Recall@1", "Recall@10"])]
    for task, figures in runs_of("grocery")["recall"][_GIVEN].items():
        cells = [
            f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
            for found in (figures["R@1"], figures["R@10"])
        ]
        lines.append(line([_told(task), *cells]))
    return "\n".join([*lines, "", ""])


def scratch() -> str:
    """From scratch, and with parts left out: Recall@1 / Recall@10 of each task."""
    recall = runs_of("grocery")["recall"]

    def row(system: str) -> Iterator[str]:
        for task in _TASKS:
            found = recall[system].get(task)
            yield f"{found['R@1']['value']:.3f} / {found['R@10']['value']:.3f}" if found else "–"

    lines = ["", *head(["Recall@1 / Recall@10", *map(_told, _TASKS)])]
    lines += [line([told, *row(system)]) for system, told in _SCRATCH.items()]
    return "\n".join([*lines, "", ""])


def _told(task: str) -> str:
    return task.replace("->", "→")
