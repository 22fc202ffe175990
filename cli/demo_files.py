"""Where the demo's bundle is, wherever the package is installed."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def demo_bundle() -> Path:
    """The folder of the shipped demo bundle.

    Raises:
        FileNotFoundError: it is not there.
    """
    folder = Path(str(files("models"))) / "demo_bundle"
    bundles = sorted(p.parent for p in folder.glob("*/manifest.json"))
    if not bundles:
        raise FileNotFoundError(f"no demo bundle in {folder}")
    return bundles[-1]
