"""``mrse check``: every problem of a shop's files, with file, line and column."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from cli.console import Json, counted, err, out, print_json, progress
from cli.options import ShopFolder
from common.errors import NOT_IN_ORDER
from common.progress import stage_progress


def check(
    data: ShopFolder,
    limit: Annotated[int, typer.Option(min=1, help="Problems to print; all are counted.")] = 1000,
    json: Json = False,
) -> None:
    """Check a shop's files and report every problem: file, line, column, what was expected.

    Exit code 1 when there are some. Warnings do no harm: a column that is not declared and so not read, no
    behaviour to learn from.

    Example: `mrse check shop/`
    """
    from artifacts.shop.check import ShopProblem, check_shop

    problems, warnings = 0, 0
    by_code: Counter[str] = Counter()
    shown: list[ShopProblem] = []
    with progress() as report:
        for problem in check_shop(data, progress=stage_progress(report, "check")):
            by_code[problem.code] += 1
            warnings += problem.harmless
            problems += not problem.harmless
            if len(shown) < limit:
                shown.append(problem)
    if json:
        first = [{**asdict(problem), "warning": problem.harmless} for problem in shown]
        print_json({"problems": problems, "warnings": warnings, "by_code": by_code, "first": first})
    else:
        for problem in shown:
            place, _, said = str(problem).partition(": ")
            note = Text(" warning:" if problem.harmless else "", style="yellow")
            out.print(Text(f"{place}:", style="bold") + note + Text(f" {said}"), soft_wrap=True)
        if problems + warnings > len(shown):
            err.print(f"… and {problems + warnings - len(shown):,} more")
        found = counted(problems, "problem") if problems else "no problems"
        err.print(found + (f", {counted(warnings, 'warning')}" if warnings else ""))
    raise typer.Exit(NOT_IN_ORDER if problems else 0)
