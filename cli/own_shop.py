"""``mrse demo --shop``: a team's own files in place of the demo shop, with the shipped bundle."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any, Final

#: Items that are looked at for a title to ask by.
_LOOKED_AT: Final = 1000


def fingerprint(shop: Path) -> list[list[Any]]:
    """What changes when a file of the shop does: name, bytes and time of each; pictures by their folder."""
    found = ((entry.name, entry.stat()) for entry in sorted(shop.iterdir()))
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in found]


def first_request(shop: Path) -> dict[str, Any]:
    """A request to try: the first words of a title.

    Raises:
        DataError: the shop cannot be read.
    """
    from artifacts.shop.shop import Shop

    titles = (item.title for item in islice(Shop.open(shop).items(), _LOOKED_AT))
    words = next((title.replace("'", " ").split() for title in titles if title), [])
    return {"query": " ".join(words[:3]) or "new", "k": 10, "timeout_ms": 500}
