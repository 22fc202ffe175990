"""Of ``docs/measured.md``: what the benchmarks reported, from the files in ``benchmarks/results/``.

A file there is what a benchmark wrote with ``--json`` (`benchmarks.report`), under the benchmark's name, with
``-`` and more behind it by choice, as ``words-1m.json``.
"""

from __future__ import annotations

import ast
import json
import shlex
from pathlib import Path
from typing import Any

from devtools.reference.keys import cell, plain

_ROOT = Path(__file__).parents[2]
RESULTS = _ROOT / "benchmarks/results"
#: Load a core above which other work was on the machine: that of a benchmark is one or two.
_BUSY = 3


def made() -> str:
    """A section for each report."""
    return "".join(_section(path) for path in sorted(RESULTS.glob("*.json")))


def _section(path: Path) -> str:
    report = json.loads(path.read_text(encoding="utf-8"))
    benchmark = path.stem.partition("-")[0]
    options = report.get("options", ["--quick"] * (report.get("setting") == "quick"))
    command = shlex.join(["python", "-m", f"benchmarks.{benchmark}", *options])
    head = f"\n### {path.stem}\n\n{_about(path.stem)}`{command} --json {path.name}`{_where(report)}.\n\n"
    if not (claims := report.get("claims")):
        return head + f"The figures are in `benchmarks/results/{path.name}`.\n"
    reached = {True: "yes", False: "**no**"}
    lines = [
        f"| {cell(each['name'])} | {each['value']:g} | {each['goal']} | {reached[each['holds']]} |"
        for each in claims
    ]
    return head + "| claim | measured | goal | reached |\n|---|---|---|---|\n" + "\n".join(lines) + "\n"


def _about(name: str) -> str:
    """What the benchmark says of itself, or the part of it that has a module of the report's name."""
    modules = (name.replace("-", "_"), name.partition("-")[0])
    places = (_ROOT / f"benchmarks/{module}.py" for module in modules)
    if (source := next((place for place in places if place.is_file()), None)) is None:
        return ""
    told = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    return plain(told.split("\n\n")[0].replace("\n", " ")) + " "


def _where(report: dict[str, Any]) -> str:
    """On what machine, when, and how busy it was."""
    machine, date = report.get("machine") or {}, report.get("date")
    parts = [f" on {date}" if date else ""]
    if machine.get("cores"):
        parts.append(f", {machine['cores']} cores ({machine.get('cpu', 'unknown')})")
    if (load := machine.get("load_1m")) is not None:
        busy = ": a busy machine, no verdict on speed" if load > _BUSY * machine.get("cores", load) else ""
        parts.append(f", load {load:g} as it ended{busy}")
    return "".join(parts)
