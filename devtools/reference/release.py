"""Of ``docs/nightly.md``: every key of a plan. Of ``docs/sizing.md``: what `mrse capacity` reckons."""

from __future__ import annotations

from dataclasses import replace

from cli.capacity.constants import Assumed, Constants, Measured, read_constants
from cli.capacity.model import Capacity, Load, reckon
from cli.release.plan import Plan
from devtools.reference.keys import cell, comments, plain, tables
from devtools.reference.settings import COLUMNS, rows

#: What the page works through: items, recalls a second, users with portraits, cores and memory of a machine.
EXAMPLES = (
    Load(1e6, 200, users=1e6, cores=8, memory_gb=32),
    Load(1e8, 1000, users=2e7, cores=16, memory_gb=128),
    Load(1e9, 5000, users=1e8, cores=32, memory_gb=256),
)


def plan() -> str:
    """A section for each table of the plan."""
    found = []
    for table in tables(Plan, optional=True):
        own = replace(table, keys=tuple(key for key in table.keys if key.name != "file"))
        heading, about = (
            (f"`[{own.name}]`", own.about) if own.name else ("Without a table", "What it is made of.")
        )
        found.append(f"\n### {heading}\n\n{about}\n\n{COLUMNS}{rows(own)}\n")
    return "".join(found)


def capacity() -> str:
    """The worked examples."""
    constants = read_constants()
    found = [reckon(load, constants) for load in EXAMPLES]
    lines = ["| | " + " | ".join(f"{each.load.items:.0e} items".replace("e+0", "e") for each in found) + " |"]
    lines.append("|---" * (len(found) + 1) + "|")
    for name, value in _ROWS.items():
        lines.append(f"| {name} | " + " | ".join(value(each) for each in found) + " |")
    return "\n".join(lines)


def _own(told: Capacity) -> str:
    own = told.embedded
    return "it does not fit" if own.replicas is None else f"{own.replicas:,}"


_ROWS = {
    "recalls a second": lambda c: f"{c.load.qps:,.0f}",
    "cores and memory of a machine": lambda c: f"{c.load.cores}, {c.load.memory_gb:g} GB",
    "users with portraits": lambda c: f"{c.load.users:,.0f}",
    "**advised**": lambda c: "**embedded**" if c.engine == "embedded" else "**Vespa**",
    "*embedded:* CPU of a recall": lambda c: f"{c.embedded.cpu_ms:.2f} ms",
    "machines": _own,
    "memory of each": lambda c: f"{c.embedded.memory_gb:,.1f} GB",
    "disk of each": lambda c: f"{c.embedded.disk_gb:,.1f} GB",
    "*Vespa:* machines of the service": lambda c: f"{c.vespa.replicas:,}",
    "content nodes, groups × nodes": lambda c: f"{c.vespa.groups:,} × {c.vespa.nodes:,}",
    "memory of one copy, one version": lambda c: f"{c.vespa.memory_gb:,.1f} GB",
    "query containers": lambda c: f"{c.vespa.containers:,}",
    "Redis, and with Vespa": lambda c: f"{c.redis_gb:,.1f} GB, {c.redis_gb + c.redis_items_gb:,.1f} GB",
    "to embed all on one machine": lambda c: f"{c.embed_hours:,.1f} h",
}


def constants() -> str:
    """What the shipped constants are, and what they mean."""
    found: Constants = read_constants()
    where = found.machine
    lines = [
        f"Measured on {where.measured}: {where.cpu}, {where.cores} cores.",
        "",
        "| constant | is | means |",
        "|---|---|---|",
    ]
    for part, model in ((found.measured, Measured), (found.assumed, Assumed)):
        told = comments(model)
        means = ""
        for name, value in part:
            means = told.get(name, means)
            shown = f"{value:,}" if isinstance(value, int | float) else str(value)
            lines.append(f"| `{name}` | {shown} | {cell(plain(means))} |")
    return "\n".join(lines)
