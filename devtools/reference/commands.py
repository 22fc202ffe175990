"""Of ``docs/reference/cli.md``: every command, its arguments and options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer.main

from cli.main import COMMANDS, build
from devtools.reference.keys import cell

#: Whose example another test runs than that of the page; `devtools.pages` lists all.
_RUN_BY = {
    "import": "tests/artifacts/shop/test_importers.py",
    "ablate": "devtools/newcomer.py",
    "experiment report": "tests/cli/commands/test_experiment.py",
    "demo": "tests/docs/test_walk.py",
}
_RUN_BY_GROUP = {"vespa": "tests/index/vespa/peer/test_run.py"}


def made() -> str:
    """A section for each command, behind a list of them."""
    root: Any = typer.main.get_command(build())
    found = {path: command_at(root, path) for path in COMMANDS}
    listed = "\n".join(
        f"| [`mrse {path}`](#mrse-{_anchor(path)}) | {_first(each)} |" for path, each in found.items()
    )
    return f"| command | does |\n|---|---|\n{listed}\n" + "".join(_section(*each) for each in found.items())


def command_at(root: Any, path: str) -> Any:
    """The command that a path such as ``index build`` names."""
    for name in path.split():
        root = root.commands[name]
    return root


def _anchor(path: str) -> str:
    return path.replace(" ", "-")


def _first(command: Any) -> str:
    return cell(command.help.split("\n\n")[0].split(". ")[0].rstrip("."))


def _section(path: str, command: Any) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    names = " ".join(_argument(each) for each in arguments)
    by = _RUN_BY.get(path) or _RUN_BY_GROUP.get(path.split()[0])
    mark = f"<!-- run by: {by} -->\n" if by else ""
    told = re.sub(r"(?m)^Example: `(.*?)`$", rf"{mark}```sh\n\1\n```", command.help, flags=re.DOTALL)
    lines = "\n".join(_lines(command))
    usage = f"`mrse {path} {names} …`" if names else f"`mrse {path} …`"
    table = f"\n\n| argument or option | default | means |\n|---|---|---|\n{lines}" if lines else ""
    return f"\n## mrse {path}\n\n{usage}\n\n{told}{table}\n"


def _argument(argument: Any) -> str:
    name = argument.name.upper() + ("…" if argument.nargs != 1 else "")
    return name if argument.required else f"[{name}]"


def _lines(command: Any) -> Iterator[str]:
    for each in command.params:
        if each.hidden or each.name == "help":
            continue
        if each.param_type_name == "argument":
            name = _argument(each)
        else:
            name = ", ".join([*each.opts, *each.secondary_opts])
        yield f"| `{name}` | {_default(each)} | {cell(each.help or '')} |"


def _default(each: Any) -> str:
    if each.required:
        return "to be given"
    if isinstance(each.show_default, str):
        return cell(each.show_default)
    if each.default is None or each.default is False or callable(each.default):
        return ""
    if each.default is True:
        return "on"
    return f"`{getattr(each.default, 'value', each.default)}`"
