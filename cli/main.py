"""The ``mrse`` command: parses and calls. Heavy imports stay inside the command that needs them."""

from __future__ import annotations

import importlib
import sys

import typer

from cli.console import NOT_IN_ORDER, USAGE, fail

app = typer.Typer(
    name="mrse",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Multi-modality recall for shopping search: from a shop's files to `POST /recall`.",
)

#: Modules that register their commands on `app`, in the order of the help page.
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

#: Errors that say what the user has to mend, and the exit code of each.
_KNOWN: tuple[tuple[str, str, int], ...] = (
    ("artifacts.shop.errors", "DataError", USAGE),
    ("artifacts.bundle.loader", "BundleError", USAGE),
    ("artifacts.bundle.graphs", "GraphError", NOT_IN_ORDER),
    ("models.towers.config", "ConfigError", USAGE),
    ("models.export.bundle", "ExportError", NOT_IN_ORDER),
    ("models.evaluation.heldout", "NothingHeldOut", NOT_IN_ORDER),
    ("models.training.run", "TrainError", USAGE),
    ("models.training.ranks", "DeviceError", USAGE),
    ("service.settings", "SettingsError", USAGE),
    ("service.errors", "StartError", USAGE),
    ("index.embedded.manifest", "IndexDamaged", USAGE),
    ("artifacts.embeddings", "EmbeddingsError", USAGE),
    ("index.vespa.feed.journal", "JournalMismatch", USAGE),
    ("index.vespa.package.versions", "VersionError", USAGE),
    ("index.vespa.package.layout", "LayoutError", USAGE),
    ("index.vespa.errors", "VersionMismatch", NOT_IN_ORDER),
    ("index.port", "IndexUnavailable", NOT_IN_ORDER),
    ("producer.errors", "ProduceError", NOT_IN_ORDER),
    ("builtins", "FileNotFoundError", USAGE),
    ("builtins", "FileExistsError", USAGE),
    ("builtins", "PermissionError", USAGE),
    ("builtins", "NotADirectoryError", USAGE),
)


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
    for module, name, code in _KNOWN:
        # Only a module that is loaded can have raised its error, so none is loaded to find out.
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(error, kind):
            return code
    return None
