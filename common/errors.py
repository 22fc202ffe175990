"""The base of every error that a person can mend.

An error that is no `MrseError` is a bug, and keeps its traceback.
"""

from __future__ import annotations

from typing import ClassVar

#: Exit codes of `mrse`: the thing asked about is not in order (problems found, a service that cannot be
#: reached, a refusal); the command or its input was wrong.
NOT_IN_ORDER, USAGE = 1, 2
#: Of a command that Ctrl-C stopped, as shells have it: 128 and the number of the signal.
STOPPED = 130


class MrseError(Exception):
    """The message names the file, setting or part, and says what is wrong with it.

    Attributes:
        exit_code: what the ``mrse`` command ends with when it meets this error.
    """

    exit_code: ClassVar[int] = USAGE
