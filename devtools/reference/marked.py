"""Pages that people write, with parts that are made: what stands between two marks is replaced.

::

    <!-- made: settings -->
    …
    <!-- /made -->
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_PART = re.compile(r"<!-- made: (.+?) -->\n.*?<!-- /made -->", re.DOTALL)


def filled(page: str, makers: Mapping[str, Callable[[], str]]) -> str:
    """The page with its parts made anew.

    Raises:
        KeyError: a mark names a part that nothing makes.
    """

    def made(part: re.Match[str]) -> str:
        return f"<!-- made: {part[1]} -->\n{makers[part[1]]().strip()}\n<!-- /made -->"

    return _PART.sub(made, page)


def parts(page: str) -> list[str]:
    """The names of a page's made parts."""
    return [part[1] for part in _PART.finditer(page)]
