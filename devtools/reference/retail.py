"""Of ``docs/measured.md``: the next basket, from the report of `benchmarks.online_retail`."""

from __future__ import annotations

from devtools.reference.tables import head, line, runs_of

_KINDS = ("all", "new")


def made() -> str:
    """Recall@100 of each system with its interval, of all items and of those that are new to the customer."""
    lines = ["", *head(["Recall@100", "all items", "new to the customer"])]
    for system, found in runs_of("online_retail")["recall"].items():
        figures = (found[kind] for kind in _KINDS)
        told = [f"{each['value']:.3f} ({each['low']:.3f} to {each['high']:.3f})" for each in figures]
        lines.append(line(["the service, history alone" if system == "ours" else system, *told]))
    return "\n".join([*lines, "", ""])
