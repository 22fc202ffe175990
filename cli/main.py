"""The ``mrse`` command: parses and calls. Heavy imports stay inside the command that needs them."""

from __future__ import annotations

import errno
import importlib
import os
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
    "produce follow": "produce_stream.follow",
    "produce popular": "produce_stream.popular",
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
    "capacity": "capacity.capacity",
    "doctor": "doctor.doctor",
}

#: What to do about errors of the operating system about a file, by their number.
_REMEDIES = {
    errno.ENOENT: "is the path right?",
    errno.EEXIST: "name another place",
    errno.ENOTDIR: "a part of the path is a file",
    errno.EISDIR: "name a file, not a folder",
    errno.EACCES: "may you read and write there? name another place",
    errno.EPERM: "may you read and write there? name another place",
    errno.EROFS: "name a place that can be written to",
    errno.ENOSPC: "make room, and run the same command again",
    errno.EDQUOT: "make room, and run the same command again",
    errno.ENAMETOOLONG: "name a shorter path",
}


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
    from common.errors import NOT_IN_ORDER, STOPPED, USAGE, MrseError
    from common.extensions import load_extensions

    try:
        load_extensions()
        build()()
    except MrseError as error:
        _leave(str(error), error.exit_code)
    except OSError as error:
        # Of a file that a person named; any other is a bug, or says by itself that it is none.
        if error.filename is None and not isinstance(error, FileNotFoundError | FileExistsError):
            raise
        _leave(_about_file(error), USAGE)
    except KeyboardInterrupt:
        _leave("stopped by Ctrl-C", STOPPED)
    except ModuleNotFoundError as error:
        if (remedy := missing_extra(error)) is None:
            raise
        _leave(remedy, NOT_IN_ORDER)


def _about_file(error: OSError) -> str:
    """What is wrong with a file, and what to do."""
    if error.filename is None or error.errno is None:
        return str(error)
    remedy = _REMEDIES.get(error.errno)
    return f"{os.fsdecode(error.filename)}: {error.strerror}" + (f"; {remedy}" if remedy else "")


def _leave(message: str, code: int) -> None:
    from cli.console import say_error

    say_error(message)
    sys.exit(code)
