"""The types of an attribute: what a shop declares, an embeddings folder holds and an index filters by."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

#: A ``list`` is of strings.
AttributeKind: TypeAlias = Literal["string", "number", "bool", "list"]
KINDS: tuple[AttributeKind, ...] = get_args(AttributeKind)

#: What every item has beside its attributes: an embeddings folder holds its category path, and an index
#: filters by the list of the path's prefixes.
CATEGORY = "category"
