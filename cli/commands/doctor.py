"""``mrse doctor``: what is missing on this machine, and how to get it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from cli.console import Json, out, print_json
from cli.findings import State, look
from common.errors import NOT_IN_ORDER

_COLOURS: dict[State, str] = {"ok": "green", "optional": "yellow", "broken": "bold red"}


def doctor(
    json: Json = False,
    gpu: Annotated[bool, typer.Option(help="Count a missing GPU runtime as broken.")] = False,
) -> None:
    """Look at this machine: what works, what is missing, how to get it. Exit code 1 if something is broken.

    Example: `mrse doctor --gpu`
    """
    findings = list(look(gpu=gpu))
    broken = any(finding.state == "broken" for finding in findings)
    if json:
        print_json({"ok": not broken, "findings": [asdict(f) for f in findings]})
    else:
        table = Table("what", "state", "found", "how to get it")
        for finding in findings:
            state = Text(finding.state, style=_COLOURS[finding.state])
            table.add_row(finding.what, state, finding.found, finding.remedy)
        out.print(table)
    raise typer.Exit(NOT_IN_ORDER if broken else 0)
