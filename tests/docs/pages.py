"""The pages that people read, their code blocks, and what stands in them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Every page but the changelog, which speaks of what is no more.
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (
        *(ROOT / each for each in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "vespa_app/README.md")),
        *(ROOT / f"client/{each}/README.md" for each in ("python", "typescript")),
        *sorted((ROOT / "docs").rglob("*.md")),
    )
}


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a language, in order, without what they are indented by."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", PAGES[page], re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE).strip() for indent, block in found]
