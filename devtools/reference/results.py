"""The tables of ``docs/measured.md``, from what the benchmarks wrote to ``benchmarks/results/``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping


def makers(names: Iterable[str]) -> Mapping[str, Callable[[], str]]:
    """What makes the tables that a page names."""
    return {}
