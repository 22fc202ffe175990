"""What was installed."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def service_version() -> str:
    """Version of the installed package."""
    try:
        return version("mrse-recall")
    except PackageNotFoundError:
        return "unknown"
