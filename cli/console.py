"""What every command shares: output for people or machines, progress, and errors.

Results go to stdout, everything else to stderr. Exit codes are those of `common.errors`.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic
from typing import Annotated, Any, Final, NoReturn

import typer
from rich import progress as bars
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from common.errors import NOT_IN_ORDER
from common.progress import Progress

# Texts come from files and services: their brackets, as in `mrse-recall[train]`, are no markup.
out = Console(markup=False, highlight=False)
err = Console(stderr=True, markup=False, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines instead of text.")]


def print_json(value: Any) -> None:
    """One JSON object on stdout, on one line."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")


def counted(number: int, thing: str) -> str:
    """``1 item``, ``2,000 items``."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def figures(title: str, names: Sequence[str], measures: Sequence[str], *more: str) -> Table:
    """A table with columns of names, of measures such as ``Recall@10``, and more; whole at 80 characters."""
    narrow = [
        Column(measure.replace("@", "\n@").replace(" ", "\n"), justify="right", no_wrap=True)
        for measure in measures
    ]
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


def next_command(command: str) -> None:
    """Say on stderr which command comes next, where a person reads the result."""
    err.print(f"next: {command}", soft_wrap=True)


def check_writable(file: Path) -> None:
    """Find out now whether a file can be written in its place: what it will hold takes minutes to measure.

    Raises:
        OSError: it cannot.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=file.parent):
        pass


def say_error(message: str) -> None:
    """Say what is wrong on stderr, in one line."""
    err.print(Text("error: ", style="bold red") + Text(message), soft_wrap=True)


def fail(message: str, code: int = NOT_IN_ORDER) -> NoReturn:
    """Say what is wrong on stderr and leave with an exit code."""
    say_error(message)
    raise typer.Exit(code)


#: What a line of a log may say beside its message, of which a person wants to know.
_ABOUT: Final = ("endpoint", "reason")


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        said = Text("warning: ", style="bold yellow") if record.levelno >= logging.WARNING else Text()
        about = [str(record.__dict__[name]) for name in _ABOUT if name in record.__dict__]
        told = f" ({', '.join(about)})" if about else ""
        err.print(said + Text(f"{record.getMessage()}{told}"), soft_wrap=True)


@contextmanager
def lines_of(logger: str) -> Iterator[None]:
    """Say a logger's warnings, and what it tells as information, on stderr, a line each."""
    lines, told = _Lines(logging.INFO), logging.getLogger(logger)
    before = told.level
    told.addHandler(lines)
    told.setLevel(logging.INFO)
    try:
        yield
    finally:
        told.removeHandler(lines)
        told.setLevel(before)


@contextmanager
def stoppable(what: str) -> Iterator[Callable[[], bool]]:
    """Hear Ctrl-C and SIGTERM: gives whether to stop. A second one stops at once.

    Args:
        what: what is ended first, such as ``step``.
    """
    asked = False

    def hear(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        err.print(f"stopping after this {what}, which is saved; Ctrl-C again stops at once")

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def progress() -> Iterator[Progress]:
    """Bars with rate and time left on a terminal; elsewhere a plain line at most every few seconds."""
    if not err.is_terminal:
        yield _PlainLines()
        return
    columns = (
        bars.TextColumn("{task.description:>14}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        _RateColumn(),
        bars.TimeElapsedColumn(),
        bars.TextColumn("left"),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=err) as shown:
        tasks: dict[str, bars.TaskID] = {}

        def tell(stage: str, done: int, total: int | None, /) -> None:
            if stage not in tasks:
                tasks[stage] = shown.add_task(stage, total=total)
            if done < shown.tasks[tasks[stage]].completed:  # the stage of another run
                shown.reset(tasks[stage])
            shown.update(tasks[stage], completed=done, total=total)

        yield tell


class _RateColumn(bars.ProgressColumn):
    def render(self, task: bars.Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else _per_second(speed), style="progress.data.speed")


def _per_second(speed: float) -> str:
    return f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.2g}/s"


@dataclass
class _Stage:
    """A stage that began at ``began`` (s) with ``first`` units done and had its last line at ``told`` (s)."""

    began: float
    first: int
    done: int
    told: float | None = None


class _PlainLines:
    """``stage: done/total, rate, time left``, a line when a stage begins, every 5 s, and when it ends."""

    _EVERY_S = 5.0

    def __init__(self) -> None:
        self._stages: dict[str, _Stage] = {}

    def __call__(self, stage: str, done: int, total: int | None, /) -> None:
        now = monotonic()
        at = self._stages.get(stage)
        if at is None or done < at.done:  # the stage of another run
            at = self._stages[stage] = _Stage(now, done, done)
        at.done = done
        finished = total is not None and done >= total
        if at.told is not None and not finished and now - at.told < self._EVERY_S:
            return
        if not done and total is None:
            return  # says nothing yet, and looks as if nothing had come of the stage
        at.told = now
        line = f"{stage}: {done:,}" + (f"/{total:,}" if total else "")
        rate = (done - at.first) / (now - at.began) if now > at.began else 0.0
        if rate > 0:
            line += f", {_per_second(rate)}"
            if total is not None and not finished:
                line += f", {(total - done) / rate:,.0f} s left"
        err.print(line)
