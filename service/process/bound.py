"""Binds the fork server, which imports this, to the process whose id `PARENT_VARIABLE` names.

Importing it is the act, because a fork server imports its modules and runs nothing else. Anywhere else it
does nothing. The forks of the fork server are bound to it by `bind_fork`, so all of them end with the parent.
"""

from __future__ import annotations

import os

from common.parent import die_with_parent

#: Names the process that the fork server ends with.
PARENT_VARIABLE = "MRSE_FORK_SERVER_OF"


def _bind() -> int | None:
    """The id of this process, where it is the fork server."""
    parent = os.environ.pop(PARENT_VARIABLE, None)
    if parent is None:
        return None
    die_with_parent(int(parent))
    return os.getpid()


_FORK_SERVER = _bind()


def bind_fork() -> None:
    """End this process when the fork server that it is a fork of ends."""
    if _FORK_SERVER is not None:
        die_with_parent(_FORK_SERVER)
