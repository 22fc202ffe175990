"""The steps that are `mrse` commands, each in a process of its own that ends with this one."""

from __future__ import annotations

import functools
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from common.errors import MrseError
from common.parent import die_with_parent

_MRSE = (sys.executable, "-c", "from cli.main import main; main()")


class StepFailed(MrseError):  # noqa: N818 -- the state of a step
    """A step failed; the message says how. ``code`` is what its command ended with, where it has one."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


def shown(arguments: Sequence[str]) -> str:
    """The command as a person would type it."""
    return shlex.join(("mrse", *arguments))


def mrse(
    arguments: Sequence[str], *, fine: Callable[[int], bool] = lambda code: code == 0, **variables: str
) -> dict[str, Any]:
    """Run an `mrse` command with ``--json``; its progress and errors are told on stderr, as they come.

    Args:
        arguments: without ``--json``.
        fine: whether it may end so.
        variables: of its environment, beside ours.

    Returns:
        its JSON, and how it ended as ``exit_code``.

    Raises:
        StepFailed: it ended otherwise.
    """
    done = subprocess.run(
        [*_MRSE, *arguments, "--json"],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env=os.environ | variables,
        # Else a killed release would leave a training behind, and the next one start another beside it.
        preexec_fn=functools.partial(die_with_parent, os.getpid()),
        check=False,
    )
    if not fine(done.returncode):
        how = (
            f"ended with {done.returncode}"
            if done.returncode > 0
            else f"was killed (signal {-done.returncode})"
        )
        raise StepFailed(f"`{shown(arguments)}` {how}; what it said stands above", done.returncode)
    try:
        found = json.loads(done.stdout)
    except ValueError as error:
        raise StepFailed(f"`{shown(arguments)}` printed no JSON") from error
    return {**(found if isinstance(found, dict) else {"found": found}), "exit_code": done.returncode}
