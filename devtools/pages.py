"""The pages that people read, their code blocks, and what stands in them.

::

    python -m devtools.pages

prints every block of commands of every page, with the test that runs it, or why none does.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

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


#: Who runs the commands of a page, from its first block to its last. A block that another test runs says so
#: in the line above it: ``<!-- run by: tests/cli/test_capacity.py -->``; one that nobody can run says why:
#: ``<!-- not run: needs a cluster -->``.
FOLLOWED = {
    "README.md": "tests/docs/test_walk.py",
    "client/python/README.md": "tests/client/test_pages.py",
    "client/typescript/README.md": "tests/client/test_pages.py",
    "docs/experiments.md": "tests/service/http/test_experiments.py",
    "docs/items.md": "tests/docs/test_walk.py",
    "docs/requests.md": "tests/docs/test_walk.py",
    "docs/sizing.md": "tests/cli/test_capacity.py",
    "docs/start.md": "tests/docs/test_walk.py",
    "docs/reference/api.md": "tests/service/http/test_api_page.py",
    "docs/reference/cli.md": "tests/docs/test_examples.py",
}
#: What a line of a terminal begins with.
_PROGRAMS = "mrse make curl docker helm kubectl pip npm python python3 torchrun systemctl"

_BLOCK = (
    r"^(?:<!-- (?:not run: (?P<why>.+?)|run by: (?P<by>.+?)) -->\n)?"
    r"(?P<indent> *)```{}\n(?P<text>.*?)^(?P=indent)```"
)


def blocks(page: str, language: str, *, run: bool = False) -> list[str]:
    """The fenced blocks of a language, in order; with ``run`` those alone that the page's own test runs."""
    found = re.finditer(_BLOCK.format(language), PAGES[page], re.MULTILINE | re.DOTALL)
    return [
        re.sub(rf"^{each['indent']}", "", each["text"], flags=re.MULTILINE).strip()
        for each in found
        if not (run and (each["why"] or each["by"]))
    ]


def elsewhere(page: str, by: str) -> list[str]:
    """The blocks of commands that a page says are run by another test than its own."""
    found = re.finditer(_BLOCK.format("sh"), PAGES[page], re.MULTILINE | re.DOTALL)
    return [each["text"].strip() for each in found if each["by"] == by]


def examples() -> dict[str, str]:
    """The example of each command, by the command's name, as ``--help`` and the page of commands have it."""
    page = PAGES["docs/reference/cli.md"]
    found = re.findall(
        r"^## mrse ([a-z -]+)\n(?:(?!^## ).)*?^```sh\n(.+?)\n```", page, re.MULTILINE | re.DOTALL
    )
    return dict(found)


class Commands(NamedTuple):
    """A block of commands: where it stands, its first line, who runs it, or why nobody does."""

    page: str
    first: str
    by: str | None
    why: str | None


def commands() -> list[Commands]:
    """Every block of commands of every page, whatever its fence calls it."""
    programs = "|".join(_PROGRAMS.split())
    return [
        Commands(
            page,
            each["text"].strip().splitlines()[0],
            None if each["why"] else each["by"] or FOLLOWED.get(page),
            each["why"],
        )
        for page, text in PAGES.items()
        for each in re.finditer(_BLOCK.format(r"(?P<language>\w*)"), text, re.MULTILINE | re.DOTALL)
        if each["language"] in ("sh", "bash", "shell", "console")
        or (not each["language"] and re.search(rf"^\$? ?({programs}) ", each["text"], re.MULTILINE))
    ]


def main() -> int:
    """Print them, those that nobody runs last."""
    for each in sorted(commands(), key=lambda block: block.why is not None):
        told = each.by or (f"not run: {each.why}" if each.why else "NOBODY")
        print(f"{each.page:30}  {told:40}  {each.first[:80]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
