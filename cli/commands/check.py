"""``mrse check``: every problem of a shop's files, with file, line and column."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from cli.console import NOT_IN_ORDER, Json, err, for_stage, out, print_json, progress


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(check)


def check(
    data: Annotated[Path, typer.Argument(help="Shop folder.", exists=True, file_okay=False)],
    limit: Annotated[int, typer.Option(min=1, help="Problems to print; all are counted.")] = 1000,
    json: Json = False,
) -> None:
    """Check a shop's files and report every problem: file, line, column, what was expected.

    Exit code 1 when there are some. A column that is not declared is said and does no harm.

    Example: `mrse check shop/`
    """
    from models.data.check import Problem, check_shop
    from models.data.shop import HARMLESS

    counts: Counter[str] = Counter()
    shown: list[Problem] = []
    with progress() as report:
        for problem in check_shop(data, progress=for_stage(report, "check")):
            counts[problem.code] += 1
            if len(shown) < limit:
                shown.append(problem)
    total, notes = sum(counts.values()), sum(counts[code] for code in HARMLESS)
    harm = total - notes
    if json:
        print_json(
            {"problems": total, "harmless": notes, "by_code": counts, "first": [asdict(p) for p in shown]}
        )
    else:
        for problem in shown:
            where = ":".join(str(part) for part in (problem.file, problem.line, problem.column) if part)
            out.print(Text(where, style="bold") + Text(f" {problem.message}"), soft_wrap=True)
        if total > len(shown):
            err.print(f"… and {total - len(shown):,} more")
        err.print(
            f"{harm:,} problems" if harm else "no problems",
            "" if not notes else f"({notes:,} columns not read)",
        )
    raise typer.Exit(NOT_IN_ORDER if harm else 0)
