"""Bodies and answers of the admin API."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

#: Changes in a call.
MAX_CHANGES = 1000
Numbers = Annotated[list[float], Field(min_length=1, max_length=65_536)]
Base64 = Annotated[str, Field(min_length=1, max_length=1 << 20)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PutItem(_Body):
    """``vector`` and ``features``: numbers, or base64 of little-endian halves. Features in row order."""

    id: str
    vector: Numbers | Base64
    features: Numbers | Base64 | None = None
    category: str = ""
    attributes: dict[str, Any] = Field(default_factory=dict)


class UpdateItem(_Body):
    """Attributes to change; null takes one away."""

    id: str
    attributes: dict[str, Any] = Field(default_factory=dict)
    category: str | None = None


class Upsert(_Body):
    """Items to add or to replace, with the vectors of the arm's bundle."""

    items: list[PutItem] = Field(max_length=MAX_CHANGES)


class Update(_Body):
    """Attributes of items that are there."""

    items: list[UpdateItem] = Field(max_length=MAX_CHANGES)


class Remove(_Body):
    """Items to take out."""

    ids: list[str] = Field(max_length=MAX_CHANGES)


class ChangedArm(TypedDict):
    """What was written to the index of one arm, and the ids that it does not have."""

    written: int
    unknown: list[str]


class Changed(TypedDict):
    """What is on disk now: changes written, over all arms; ids that no arm has; and each arm's own."""

    written: int
    unknown: list[str]
    towers: dict[str, ChangedArm]


UPSERT_EXAMPLES = {
    "base64": {"value": {"items": [{"id": "i7", "vector": "ADwAAA==", "attributes": {"price": 9.5}}]}}
}
UPDATE_EXAMPLES = {
    "price": {"value": {"items": [{"id": "i7", "attributes": {"price": 7.5, "in_stock": True}}]}}
}
REMOVE_EXAMPLES = {"one": {"value": {"ids": ["i7"]}}}
