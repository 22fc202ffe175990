"""``mrse release``: the nightly pipeline, from a shop's files to a promoted bundle and index."""

from __future__ import annotations

import signal
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table

from cli.console import Json, err, fail, out, print_json, say_error
from cli.options import or_file
from common.errors import NOT_IN_ORDER, USAGE, MrseError

if TYPE_CHECKING:
    from cli.release.runner import Result


def release(
    plan: Annotated[Path, typer.Argument(help="The plan, a TOML file.", exists=True, dir_okay=False)],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Give up what an earlier call left unfinished.")
    ] = False,
    abort: Annotated[
        bool, typer.Option("--abort", help="Give the release up, and take its canary back.")
    ] = False,
    back: Annotated[
        bool, typer.Option("--back", help="Let what the last release replaced serve again.")
    ] = False,
    key: Annotated[
        str | None,
        typer.Option(
            help="Key of the services, where they want one.", envvar="MRSE_KEY", callback=or_file("MRSE_KEY")
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Check, train, compare, embed, index, try on a share of the traffic, and promote or roll back.

    Killed and started again it goes on where it stopped. Exit code 0: promoted, or nothing was new; 1:
    refused by the comparison, or rolled back; 2: something failed, and the same command tries it again.

    Example: `mrse release release.toml --dry-run`
    """
    from cli.release.begin import open_release
    from cli.release.plan import Plan, read_plan
    from cli.release.runner import Result as Found
    from cli.release.runner import abort as give_up
    from cli.release.runner import foresee, go_back, rows, run
    from cli.release.services import Fleet
    from cli.release.state import alone

    if sum((dry_run, fresh, abort, back)) > 1:
        fail("give one of --dry-run, --fresh, --abort and --back", USAGE)
    signal.signal(signal.SIGTERM, _interrupt)
    steps: list[Any] = []

    def make(wanted: Plan, fleet: Fleet) -> Found:
        begun = open_release(wanted, fleet, _tell, fresh=fresh)
        try:
            return run(begun)
        finally:
            steps.extend(rows(begun))

    try:
        wanted = read_plan(plan)
        fleet = Fleet(wanted.services, key)
        if dry_run:
            result = foresee(open_release(wanted, fleet, _tell))
        else:
            with alone(wanted.work):
                if back or abort:
                    result = (go_back if back else give_up)(wanted, fleet, _tell)
                else:
                    result = make(wanted, fleet)
    except (MrseError, OSError, KeyboardInterrupt) as error:
        said = "stopped; the same command goes on" if isinstance(error, KeyboardInterrupt) else str(error)
        if json:
            print_json({"verdict": "error", "says": said, "steps": [asdict(row) for row in steps]})
        else:
            _table(steps)
        say_error(said)
        raise typer.Exit(USAGE) from None
    if json:
        steps = [asdict(row) for row in result.rows]
        print_json(
            {"release": result.release, "verdict": result.verdict, "says": result.says, "steps": steps}
        )
    else:
        _show(result)
    raise typer.Exit(NOT_IN_ORDER if result.verdict in ("refused", "rolled back") else 0)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _tell(line: str) -> None:
    err.print(line, soft_wrap=True)


def _table(rows: list[Any]) -> None:
    if not rows:
        return
    table = Table("step", "state", "s", Column("", overflow="fold"))
    table.columns[2].justify = "right"
    for row in rows:
        table.add_row(row.name, row.state, f"{row.seconds:,.1f}" if row.seconds else "", row.says)
    out.print(table)


def _show(result: Result) -> None:
    if result.verdict is None:  # lines, for their commands are to be copied
        for row in result.rows:
            said = row.says if row.state == "would do" else f"({row.state}: {row.says})"
            out.print(f"{row.name:<10} {said}", soft_wrap=True)
        out.print(result.says)
        return
    _table(result.rows)
    out.print(f"release {result.release}: {result.verdict}: {result.says}", soft_wrap=True)
