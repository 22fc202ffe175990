"""How the items of a version are found by words: which of their texts are read, and how these are cut.

Vespa gets the words, not the texts, so that its own linguistics have no say: what is fed and what is asked
for is cut by one tokeniser, the same as the embedded index's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from artifacts.words import OLDEST_RULES, RULES, attribute_texts, tokeniser


@dataclass(frozen=True, slots=True)
class TextSpec:
    """Text fields, in the order in which they are read, the language of stems, the rules of words.

    Raises:
        ValueError: no fields, an unknown language, or rules of another version of mrse.
    """

    fields: tuple[str, ...]
    language: str
    rules: int = RULES

    def __post_init__(self) -> None:
        if not self.fields:
            raise ValueError("texts without fields")
        if not OLDEST_RULES <= self.rules <= RULES:
            raise ValueError(f"words cut by rules {self.rules}, this version of mrse cuts by {RULES}")
        tokeniser(self.language, self.rules)

    def item(self, texts: Mapping[str, str], attributes: Mapping[str, object]) -> list[str]:
        """The words of an item; attributes, the category among them, are read in place of their texts."""
        texts = {**texts, **attribute_texts(self.fields, attributes)}
        return tokeniser(self.language, self.rules).item(texts, self.fields)

    def query(self, text: str) -> list[str]:
        """The different words of a query."""
        return tokeniser(self.language, self.rules).query(text)

    def to_json(self) -> dict[str, Any]:
        """As a version file has it."""
        return {"fields": list(self.fields), "language": self.language, "rules": self.rules}

    @classmethod
    def from_json(cls, raw: Any) -> TextSpec:
        """What `to_json` gave; raises KeyError, TypeError and ValueError on what is none."""
        fields = tuple(str(name) for name in raw["fields"])
        return cls(fields, str(raw["language"]), int(raw["rules"]))
