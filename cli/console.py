"""What every command shares: output for people or machines, progress, and errors as exit codes.

Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 the thing asked about is not in
order (problems found, service not reachable, refused), 2 the command was wrong (usage, unreadable input).
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn, Protocol

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

NOT_IN_ORDER = 1
USAGE = 2

out = Console()
err = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines instead of text.")]


def print_json(value: Any) -> None:
    """One JSON object on stdout, on one line."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")


def counted(number: int, thing: str) -> str:
    """``1 item``, ``2,000 items``."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def figures(title: str, names: Sequence[str], measures: Sequence[str], *more: str) -> Table:
    """A table with columns of names, of measures such as ``Recall@10``, and more; whole at 80 characters."""
    narrow = [Column(measure.replace("@", "\n@"), justify="right") for measure in measures]
    wide = [Column(name, overflow="fold") for name in (*names, *more)]
    return Table(
        *wide[: len(names)],
        *narrow,
        *wide[len(names) :],
        title=title,
        box=SIMPLE_HEAD,
        padding=(0, 1),
        collapse_padding=True,
    )


def fail(message: str, code: int = NOT_IN_ORDER) -> NoReturn:
    """Say what is wrong on stderr and leave with an exit code."""
    err.print(Text("error: ", style="bold red") + Text(message), soft_wrap=True)
    raise typer.Exit(code)


class _WarningLines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        err.print(Text("warning: ", style="bold yellow") + Text(record.getMessage()), soft_wrap=True)


@contextmanager
def warnings_of(logger: str) -> Iterator[None]:
    """Say a logger's warnings on stderr, a line each."""
    lines = _WarningLines(logging.WARNING)
    logging.getLogger(logger).addHandler(lines)
    try:
        yield
    finally:
        logging.getLogger(logger).removeHandler(lines)


class Report(Protocol):
    """Progress of a stage: its name, units done and units in all (None while unknown)."""

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Say how far a stage is."""


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else _rate(speed), style="progress.data.speed")


def _rate(speed: float) -> str:
    return f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.2g}/s"


@contextmanager
def progress() -> Iterator[Report]:
    """Bars with rate and time left on a terminal; elsewhere a plain line at most every few seconds."""
    if err.is_terminal:
        yield from _bars()
    else:
        yield _PlainLines()


def _bars() -> Iterator[Report]:
    columns = (
        TextColumn("{task.description:>14}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err) as bars:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            if done < bars.tasks[tasks[stage]].completed:  # the stage of another run
                bars.reset(tasks[stage])
            bars.update(tasks[stage], completed=done, total=total)

        yield report


class _PlainLines:
    """``stage: done/total, rate, time left``, a line when a stage begins, every 5 s, and when it ends."""

    _EVERY_S = 5.0

    def __init__(self) -> None:
        self._began: dict[str, tuple[float, int]] = {}
        self._said: dict[str, float] = {}
        self._done: dict[str, int] = {}

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if done < self._done.get(stage, done):  # the stage of another run
            del self._began[stage]
            self._said.pop(stage, None)
        self._done[stage] = done
        began, first = self._began.setdefault(stage, (now, done))
        finished = total is not None and done >= total
        if stage in self._said and not finished and now - self._said[stage] < self._EVERY_S:
            return
        if not done and total is None:
            return  # says nothing yet, and looks as if nothing had come of the stage
        self._said[stage] = now
        rate = (done - first) / (now - began) if now > began else 0.0
        line = f"{stage}: {done:,}" + (f"/{total:,}" if total else "")
        if rate > 0:
            line += f", {_rate(rate)}"
            if total is not None and not finished:
                line += f", {(total - done) / rate:,.0f} s left"
        err.print(line, highlight=False)


def for_stage(report: Report, stage: str) -> Any:
    """A ``(done, total)`` callback that reports under one stage name."""
    return lambda done, total: report(stage, done, total)
