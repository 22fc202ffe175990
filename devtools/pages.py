"""The pages that people read, their code blocks, and what stands in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Every page but the changelog, which speaks of what is no more.
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (
        *(ROOT / each for each in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "vespa_app/README.md")),
        *(ROOT / f"client/{each}/README.md" for each in ("python", "typescript")),
        *sorted((ROOT / "docs").rglob("*.md")),
    )
}


_BLOCK = r"^(?P<not><!-- not run: (?P<why>.+?) -->\n)?(?P<indent> *)```{}\n(?P<text>.*?)^(?P=indent)```"


def blocks(page: str, language: str, *, run: bool = False) -> list[str]:
    """The fenced blocks of a language, in order; with ``run`` without those that a page says are not run."""
    found = re.finditer(_BLOCK.format(language), PAGES[page], re.MULTILINE | re.DOTALL)
    return [
        re.sub(rf"^{each['indent']}", "", each["text"], flags=re.MULTILINE).strip()
        for each in found
        if not (run and each["why"])
    ]
