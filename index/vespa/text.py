"""Strings as Vespa holds them, the same when fed and when asked for."""

from __future__ import annotations

import re
import sys
from typing import Final

from index.filters import fold

#: Stands for the empty string, which Vespa cannot tell from a missing one.
EMPTY: Final = "\ue000"
#: Stands before and after the number of a character that is written as its number: one that Vespa's text does
#: not allow, this one itself, and `EMPTY` where it is the whole string. So no two strings are stored alike.
_NUMBERED: Final = "\ue001"
_WRITTEN: Final = re.compile(f"{_NUMBERED}([0-9a-f]{{1,6}}){_NUMBERED}")


def term(value: str) -> str:
    """The form in which a string attribute is stored and matched: folded, in text that Vespa allows."""
    return storable(fold(value))


def storable(folded: str) -> str:
    """A folded string in text that Vespa allows; distinct strings stay distinct."""
    if folded.isascii() and folded.isprintable():
        return folded or EMPTY
    if folded == EMPTY:
        return _number(EMPTY)
    if is_text(folded) and _NUMBERED not in folded:
        return folded
    return "".join(_number(c) if c == _NUMBERED or not _allowed(ord(c)) else c for c in folded)


def folded_of(stored: str) -> str:
    """The folded string that `storable` wrote."""
    if stored == EMPTY:
        return ""
    if _NUMBERED not in stored:
        return stored
    return _WRITTEN.sub(_character, stored)


def _number(character: str) -> str:
    return f"{_NUMBERED}{ord(character):x}{_NUMBERED}"


def _character(written: re.Match[str]) -> str:
    code = int(written[1], 16)
    return chr(code) if code <= sys.maxunicode else written[0]


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
