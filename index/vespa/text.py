"""Strings as Vespa holds them, the same when fed and when asked for."""

from __future__ import annotations

from typing import Final

from index.filters import fold

#: Stands for the empty string, which Vespa cannot tell from a missing one.
EMPTY: Final = "\ue000"
#: Stands for characters that Vespa's text does not allow.
REPLACEMENT: Final = "\ufffd"


def term(value: str) -> str:
    """The form in which a string attribute is stored and matched: folded, in text that Vespa allows."""
    return storable(fold(value))


def storable(folded: str) -> str:
    """A folded string with the empty one, and characters that Vespa refuses, replaced."""
    if not folded:
        return EMPTY
    if is_text(folded):
        return folded
    return "".join(character if _allowed(ord(character)) else REPLACEMENT for character in folded)


def is_text(value: str) -> bool:
    """Whether Vespa takes every character (``com.yahoo.text.Text.isTextCharacter``)."""
    if value.isascii() and value.isprintable():
        return True
    return all(_allowed(ord(character)) for character in value)


def _allowed(code: int) -> bool:
    if code < 0x20:
        return code in (0x9, 0xA, 0xD)
    if 0xD800 <= code <= 0xDFFF or 0xFDD0 <= code <= 0xFDEF:
        return False
    return (code & 0xFFFE) != 0xFFFE
