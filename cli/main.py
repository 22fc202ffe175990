"""The ``mrse`` command: parses and calls. Heavy imports stay inside the command that needs them."""

from __future__ import annotations

import importlib
import sys

import typer

from cli.console import USAGE, fail

app = typer.Typer(
    name="mrse",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Multi-modality recall for shopping search: from a shop's files to `POST /recall`.",
)

#: Modules that register their commands on `app`, in the order of the help page.
_COMMANDS = ("shop", "check", "train", "embed", "index", "serve", "recall", "demo", "doctor")


def build() -> typer.Typer:
    """The whole command with every sub-command registered."""
    for name in _COMMANDS:
        module = importlib.import_module(f"cli.commands.{name}")
        module.register(app)
    return app


def main() -> None:
    """Entry point. Errors that name a file or a setting end as one line and an exit code."""
    command = build()
    try:
        command()
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        try:
            fail(str(error), code)
        except typer.Exit as leave:
            sys.exit(leave.exit_code)


def _exit_code(error: Exception) -> int | None:
    """The exit code of the errors that are the user's to mend; None for a bug, which keeps its traceback."""
    known = {"DataError": USAGE, "BundleError": USAGE, "GraphError": 1, "IndexDamaged": USAGE}
    known |= {"StartError": USAGE, "SettingsError": USAGE, "ConfigError": USAGE, "ExportError": 1}
    for kind in type(error).__mro__:
        if kind.__name__ in known:
            return known[kind.__name__]
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        return USAGE
    return None
