"""The ``mrse`` command: parses and calls. Heavy imports stay inside the command that needs them."""

from __future__ import annotations

import importlib
import sys

import typer

from cli.console import say_error
from cli.extras import missing_extra
from common.errors import NOT_IN_ORDER, USAGE, MrseError
from common.extensions import load_extensions

#: Modules that register their commands, in the order of the help page.
_COMMANDS = (
    "shop",
    "check",
    "train",
    "evaluate",
    "ablate",
    "embed",
    "index",
    "produce",
    "serve",
    "recall",
    "vespa",
    "demo",
    "doctor",
)

#: Of the operating system, about a file that a person named.
_ABOUT_FILES = (FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError)


def build() -> typer.Typer:
    """The whole command with every sub-command registered."""
    app = typer.Typer(
        name="mrse",
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        help="Multi-modality recall for shopping search: from a shop's files to `POST /recall`.",
    )
    for name in _COMMANDS:
        importlib.import_module(f"cli.commands.{name}").register(app)
    return app


def main() -> None:
    """Entry point. What a person can mend ends as one line and an exit code; a bug keeps its traceback."""
    try:
        load_extensions()
        build()()
    except MrseError as error:
        _leave(str(error), error.exit_code)
    except _ABOUT_FILES as error:
        _leave(str(error), USAGE)
    except ModuleNotFoundError as error:
        if (remedy := missing_extra(error)) is None:
            raise
        _leave(remedy, NOT_IN_ORDER)


def _leave(message: str, code: int) -> None:
    say_error(message)
    sys.exit(code)
