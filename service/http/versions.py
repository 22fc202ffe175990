"""``/v1``: every path stands below it too, and means the same there.

A breaking change of requests or answers comes as ``/v2`` beside it. Paths without a version are those of
``/v1``.
"""

from __future__ import annotations

PREFIX = "/v1"
_BELOW = PREFIX + "/"


def unversioned(path: str) -> str:
    """The path without its version."""
    return path[len(PREFIX) :] if path.startswith(_BELOW) else path
