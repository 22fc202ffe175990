"""The types of an attribute: what a shop declares, an embeddings folder holds and an index filters by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

#: A ``list`` is of strings.
AttributeKind: TypeAlias = Literal["string", "number", "bool", "list"]
KINDS: tuple[AttributeKind, ...] = get_args(AttributeKind)

#: What every item has beside its attributes: an embeddings folder holds its category path, and an index
#: filters by the list of the path's prefixes.
CATEGORY = "category"

#: Bounds on a string value, of an item as of a filter, before it is folded: to fold a run of n combining
#: marks takes n² steps, and a category path of n levels has n² levels in its prefixes. *Inferred*: several
#: times the longest brand and the deepest path of the catalogues that we read.
MAX_CHARACTERS = 512
MAX_LEVELS = 16
#: Of an item's id in an index. A shop's ids are shorter.
MAX_ID_BYTES = 512
#: Strings in an item's list, and characters in all: 1,000 of the longest, all marks, took 0.1 s to fold.
MAX_LISTED, MAX_LISTED_CHARACTERS = 1000, 32_768


def too_large(name: str, value: str | Sequence[str]) -> str | None:
    """Why a string, a list of strings or, of `CATEGORY`, a path is over the bounds; None where it is not."""
    if not isinstance(value, str):
        if len(value) > MAX_LISTED:
            return f"has {len(value)} values; at most {MAX_LISTED} are allowed"
        strings = [each for each in value if isinstance(each, str)]
        if (total := sum(map(len, strings))) > MAX_LISTED_CHARACTERS:
            return f"has values of {total} characters in all; at most {MAX_LISTED_CHARACTERS} are allowed"
        return next((reason for each in strings if (reason := too_large(name, each))), None)
    if len(value) > MAX_CHARACTERS:
        return f"has a value of {len(value)} characters; at most {MAX_CHARACTERS} are allowed"
    if name == CATEGORY and (levels := value.count(">") + 1) > MAX_LEVELS:
        return f"has {levels} levels; at most {MAX_LEVELS} are allowed"
    return None


def category_path(value: str) -> str:
    """A category path, as in ``Shoes > Running``, with regular spaces around ``>``.

    Raises:
        ValueError: it has an empty level.
    """
    if ">" not in value:
        return value.strip()
    levels = [level.strip() for level in value.split(">")]
    if not all(levels):
        raise ValueError("has an empty level, expected as in 'Shoes > Running'")
    return " > ".join(levels)
