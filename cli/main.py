"""The ``mrse`` command: parses and calls. Heavy imports stay inside the command that needs them."""

from __future__ import annotations

import importlib
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

#: The groups of commands, and what their help says.
_GROUPS = {
    "shop": "Make a synthetic shop whose truth is known.",
    "index": "Build the embedded index, and change it while it serves.",
    "produce": "Fill Redis with query experts, portraits and features.",
    "experiment": "Read what an experiment came to.",
    "keys": "Make keys for clients of the service.",
    "vespa": "Deploy, feed, verify and drop versions in Vespa.",
}
#: Every command and its function below `cli.commands`, in the order of the help page.
COMMANDS = {
    "shop make": "shop.make",
    "import": "shop.import_",
    "check": "check.check",
    "train": "train.train",
    "export": "train.export",
    "evaluate": "evaluate.evaluate",
    "diagnose": "evaluate.diagnose",
    "calibrate": "calibrate.calibrate",
    "ablate": "ablate.ablate",
    "embed": "embed.embed",
    "index build": "index.build",
    "index upsert": "index.upsert",
    "index update": "index.update",
    "index remove": "index.remove",
    "index rebuild": "index.rebuild",
    "index verify": "index_care.verify",
    "index snapshot": "index_care.snapshot",
    "index restore": "index_care.restore",
    "index repair": "index_care.repair",
    "produce queries": "produce.queries",
    "produce portraits": "produce.portraits",
    "produce items": "produce.items",
    "produce follow": "produce.follow",
    "produce popular": "produce.popular",
    "produce forget": "produce.forget",
    "serve": "serve.serve",
    "experiment report": "experiment.report",
    "keys new": "keys.new",
    "recall": "recall.recall",
    "vespa add-version": "vespa.add_version",
    "vespa diff": "vespa.diff",
    "vespa deploy": "vespa.deploy",
    "vespa feed": "vespa_feed.feed",
    "vespa lines": "vespa_lines.lines",
    "vespa prune": "vespa_feed.prune",
    "vespa verify": "vespa_rollout.verify",
    "vespa switch": "vespa_rollout.switch",
    "vespa drop": "vespa.drop",
    "demo": "demo.demo",
    "release": "release.release",
    "doctor": "doctor.doctor",
}

#: Of the operating system, about a file that a person named.
_ABOUT_FILES = (FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError)


def build() -> typer.Typer:
    """The whole command with every sub-command registered."""
    import typer

    from cli.options import of_all

    app = typer.Typer(
        name="mrse",
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        help="Multi-modality recall for shopping search: from a shop's files to `POST /recall`.",
    )
    app.callback()(of_all)
    groups = {"": app}
    for name, about in _GROUPS.items():
        groups[name] = typer.Typer(no_args_is_help=True, help=about)
        app.add_typer(groups[name], name=name)
    for path, function in COMMANDS.items():
        group, _, name = path.rpartition(" ")
        module, _, attribute = function.partition(".")
        command = getattr(importlib.import_module(f"cli.commands.{module}"), attribute)
        groups[group].command(name)(command)
    return app


def main() -> None:
    """Entry point. What a person can mend ends as one line and an exit code; a bug keeps its traceback."""
    if sys.argv[1:2] in (["serve"], ["demo"]):
        # SIGHUP asks a service to reload. One that comes while it starts waits until it can be heard.
        # So nothing that takes long to import is imported before this.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    from cli.extras import missing_extra
    from common.errors import NOT_IN_ORDER, USAGE, MrseError
    from common.extensions import load_extensions

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
    from cli.console import say_error

    say_error(message)
    sys.exit(code)
