"""``python -m devtools.reference``: makes the made parts of all pages anew."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from devtools import metrics_page
from devtools.reference import (
    api,
    commands,
    config,
    errors,
    esci,
    files,
    grocery,
    model,
    release,
    results,
    retail,
    settings,
    sparse,
)
from devtools.reference.marked import filled, parts

DOCS = Path(__file__).parents[2] / "docs"
MAKERS: Mapping[str, Callable[[], str]] = {
    "settings": settings.made,
    "presets": config.presets,
    "config": config.made,
    "commands": commands.made,
    "api": api.made,
    "esci": esci.made,
    "grocery": grocery.given,
    "grocery-scratch": grocery.scratch,
    "retail": retail.made,
    "sparse": sparse.made,
    "esci-low": sparse.esci,
    "shipped": model.shipped,
    "browsing": model.browsing,
    "parts": model.parts,
    "results": results.made,
    "problems": errors.kinds,
    "plan": release.plan,
    "capacity": release.capacity,
    "constants": release.constants,
    "degraded": errors.words,
    "shop": files.shop,
    "embeddings": lambda: files.listing("artifacts/embeddings/__init__.py", "shop's items file"),
    "index": lambda: files.listing("index/embedded/store.py", "takes another's place"),
    "exposures": files.exposures,
    "keys": lambda: files.listing("service/access/keyfile.py", "has no key"),
}


def pages() -> dict[Path, str]:
    """Every page that has made parts, as it has to be."""
    made = {}
    for path in sorted(DOCS.rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        if parts(text):
            made[path] = filled(text, MAKERS)
    return made | {DOCS / "metrics.md": metrics_page.page()}


def main() -> int:
    """Write them."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
