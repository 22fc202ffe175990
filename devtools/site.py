"""What `make docs` does beside MkDocs' own work: pages of the repository that lie outside ``docs/``.

MkDocs calls the functions by their names (``hooks`` in ``mkdocs.yml``). In the repository a page of ``docs/``
links to ``../SECURITY.md``, which is a page of the site too, at ``SECURITY.md``; links from it into ``docs/``
turn likewise. Links to what is no page, such as a module, become plain text: the site stands alone.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
#: Pages outside of ``docs/``, by their paths in the repository, which are their paths in the site too.
OUTSIDE = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "vespa_app/README.md",
    "client/python/README.md",
    "client/typescript/README.md",
)
_LINK = re.compile(r"(?<!!)\[([^\]\n]+(?:\n[^\]\n]+)?)\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages that lie outside."""
    for path in OUTSIDE:
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Turn links that are right in the repository into those that are right in the site."""
    here = page.file.src_uri
    folder = posixpath.dirname(here if here in OUTSIDE else f"docs/{here}")

    def turned(link: re.Match[str]) -> str:
        text, target, anchor = link[1], link[2], link[3] or ""
        path = posixpath.normpath(posixpath.join(folder, target))
        if path not in OUTSIDE and not path.startswith("docs/"):
            return text if (ROOT / path).exists() else link[0]
        inside = path.removeprefix("docs/")
        return f"[{text}]({posixpath.relpath(inside, posixpath.dirname(here) or '.')}{anchor})"

    return _LINK.sub(turned, markdown)
