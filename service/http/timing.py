"""``Server-Timing``: what the time of an answer went to, as browsers and proxies show it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

#: Names and seconds of stages.
Stages = Sequence[tuple[str, float]]


def server_timing(stages: Stages, took_ms: float) -> str:
    """The header of an answer that took ``took_ms``, with its stages in milliseconds."""
    if not stages:
        return f"total;dur={took_ms:.2f}"
    names = tuple([name for name, _ in stages])  # of lists: every recall makes them
    return _template(names) % (took_ms, *[seconds * 1000 for _, seconds in stages])


@lru_cache(maxsize=256)
def _template(names: tuple[str, ...]) -> str:
    return "total;dur=%.2f" + "".join(f", {name};dur=%.2f" for name in names)
