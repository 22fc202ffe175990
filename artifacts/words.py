"""The words by which texts are found: of items and of queries, and for every engine, cut in one way.

A text is read in its normal form (NFKC, lower case). What comes of it::

    Running shoes        run, shoe               stems of one language, without accents
    iPhone 15 Pro        iphon, 15, pro          numbers are words
    A4, WH1000XM4        a4, wh1000xm4           what has a digit in it is no word to be stemmed
    500 ml, 500ml, 1,5 L 500ml, 500ml, 1.5l      a number and its unit are one word
    24", 15.6″           24, 24inch, 15.6, 15.6inch  a mark of inches, but it may be a quotation's end
    WH-1000XM4, t-shirt  wh, 1000xm4, wh1000xm4  what a hyphen joins: its parts, and the whole where one of
                                                 these is short or has a digit
    men's, L'Oréal       men, loreal, oreal      an apostrophe: likewise, without a bare s
    运动鞋               运, 动, 鞋, 运动, 动鞋    scripts without spaces: characters and pairs

The rules have a number, `RULES`. What was cut by those before is searched by them until it is written anew;
what was cut by others is not.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache

import Stemmer

#: Number of these rules; another where the same text would give other words.
RULES = 2
#: The oldest that are still known; 1 does not read marks of inches.
OLDEST_RULES = 1
#: Texts that items of every shop may have; an index that does not read one leaves it out.
ITEM_TEXTS = ("title", "category", "description")
#: Stems nothing; for catalogues of several languages.
NO_LANGUAGE = "none"
DEFAULT_LANGUAGE = "english"
#: Bounds on what is read of a text, on its words and on the length of each; the rest is left out. *Inferred*:
#: several times the longest description that says what an item is.
MAX_CHARACTERS = 16_384
MAX_WORDS = 2048
MAX_LENGTH = 48
#: Different words of a query that are looked for, the first ones. *Inferred*: twice the longest query that
#: names what it wants; more of them is a text.
QUERY_WORDS = 32
#: Words whose stems are kept.
_KEPT = 100_000

# Marks of scripts whose vowels are marks stay in their words; `\w` leaves them out.
_MARKS = "\u0300-\u036f\u064b-\u065f\u0900-\u0963\u0970-\u109f\u1780-\u17dd"
# Each character is read once whatever stands before and behind it, so the time is linear in the text.
_RUN = rf"[^\W_](?:[^\W_]|[{_MARKS}]|(?<=\d)[.,](?=\d)|(?<=[^\W_])['’](?=[^\W_]))*"
# What stands for inches behind a number; NFKC makes two primes of a double one.
_INCH_MARKS = frozenset(('"', "”", "''", "’’", "′′"))
_COMPOUND = {
    1: re.compile(rf"{_RUN}(?:-{_RUN})*"),
    2: re.compile(rf"{_RUN}(?:-{_RUN})*|(?<=\d)(?:{'|'.join(sorted(_INCH_MARKS))})"),
}
_DIGIT = re.compile(r"\d")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*\Z")
_MEASURE = re.compile(r"(\d+(?:[.,]\d+)*)([^\W\d_]+)\Z")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?!\d)")
# Han, kana, Hangul, Thai, Lao, Burmese and Khmer are written without spaces, or nearly so.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff"
    "\U00020000-\U0003ffff]+"
)
#: Spellings of units, each behind the form that is kept. ``in`` and ``m`` are none: they are other words too.
_UNITS: dict[str, str] = {
    spelling: spellings.split()[0]
    for spellings in (
        "ml millilitre millilitres milliliter milliliters",
        "cl",
        "dl",
        "l litre litres liter liters ltr",
        "mg",
        "g gr gram grams gramm gramme grammes",
        "kg kilo kilos kilogram kilograms",
        "oz ounce ounces",
        "lb lbs",
        "mm",
        "cm",
        "km",
        "inch inches zoll",
        "ft feet",
        "w watt watts",
        "kw",
        "v volt volts",
        "mah",
        "wh",
        "mb",
        "gb",
        "tb",
        "hz",
        "khz",
        "mhz",
        "ghz",
        "mp",
        "px",
        "dpi",
        "fps",
    )
    for spelling in spellings.split()
}


def attribute_texts(fields: Iterable[str], attributes: Mapping[str, object]) -> dict[str, str]:
    """The texts of those fields that are among an item's attributes: strings, or lists of them in a row."""
    texts: dict[str, str] = {}
    for name in fields:
        if name in attributes:
            value = attributes[name]
            texts[name] = value if isinstance(value, str) else ""
            if isinstance(value, list | tuple):
                texts[name] = " ".join(each for each in value if isinstance(each, str))
    return texts


def languages() -> tuple[str, ...]:
    """The names that `Tokeniser` takes: Snowball's, and `NO_LANGUAGE`."""
    return (*sorted(name for name in Stemmer.algorithms() if name not in _OLD), NO_LANGUAGE)


#: Algorithms that Snowball keeps for comparison.
_OLD = frozenset({"lovins", "porter", "dutch_porter"})


@cache
def tokeniser(language: str, rules: int = RULES) -> Tokeniser:
    """The tokeniser of a language and of rules, the same object each time.

    Raises:
        ValueError: there is no such language, or there are no such rules.
    """
    return Tokeniser(language, rules)


class Tokeniser:
    """Cuts texts into words, with the stems of one language. For any thread.

    Raises:
        ValueError: there is no such language, or there are no such rules.
    """

    def __init__(self, language: str = DEFAULT_LANGUAGE, rules: int = RULES) -> None:
        if rules not in _COMPOUND:
            raise ValueError(f"words have no rules {rules}; known are {OLDEST_RULES} to {RULES}")
        self._pieces = _COMPOUND[rules].findall
        if language not in languages():
            raise ValueError(f"{language!r} is no language of stems; known are {', '.join(languages())}")
        self.language = language
        self._stemmer = None if language == NO_LANGUAGE else Stemmer.Stemmer(language)
        self._lock = threading.Lock()  # a stemmer is not for several threads
        self._stem = lru_cache(maxsize=_KEPT)(self._stemmed)

    def words(self, text: str) -> list[str]:
        """The words of a text in their order, at most `MAX_WORDS`; one stands as often as the text has it."""
        text = text[:MAX_CHARACTERS]
        if not text.isascii():
            # What a compatibility form comes to may have upper case, and lower case may not be composed.
            text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())[:MAX_CHARACTERS]
        found: list[str] = []
        number = ""  # a bare number, which waits for its unit
        for piece in self._pieces(text.lower()):
            if piece in _INCH_MARKS:
                if number:
                    found += (number, f"{number}inch"[:MAX_LENGTH])
                    number = ""
                continue
            if number:
                unit = _UNITS.get(piece)
                found.append(number + (unit or ""))
                number = ""
                if unit:
                    continue
            if "-" in piece:
                parts = piece.split("-")
                for part in parts:
                    self._part(part, found)
                if any(len(part) <= 2 or _DIGIT.search(part) for part in parts):
                    found.append(self._word("".join(parts).replace("'", "").replace("’", "")))
            elif _NUMBER.match(piece):
                number = _plain(piece)[:MAX_LENGTH]
            else:
                self._part(piece, found)
            if len(found) >= MAX_WORDS:
                break
        if number:
            found.append(number)
        return [word for word in found if word][:MAX_WORDS]

    def item(self, texts: Mapping[str, str], fields: Iterable[str]) -> list[str]:
        """The words of an item's texts by field, field after field, at most `MAX_WORDS`."""
        found = [word for field in fields if (text := texts.get(field)) for word in self.words(text)]
        return found[:MAX_WORDS]

    def query(self, text: str) -> list[str]:
        """The different words of a query in their order, at most `QUERY_WORDS`."""
        return list(dict.fromkeys(self.words(text)))[:QUERY_WORDS]

    def _part(self, part: str, found: list[str]) -> None:
        """Add the words of what stands between spaces and hyphens."""
        if "'" in part or "’" in part:
            parts = part.replace("’", "'").removesuffix("'s").split("'")
            if len(parts) > 1:
                found.extend(self._word(each) for each in parts if len(each) > 1)
            part = "".join(parts)
        if part.isascii() or not _UNSPACED.search(part):
            found.append(self._word(part))
            return
        end = 0
        for run in _UNSPACED.finditer(part):
            if run.start() > end:
                found.append(self._word(part[end : run.start()]))
            end, characters = run.end(), run[0]
            found.extend(characters)
            found.extend(characters[place : place + 2] for place in range(len(characters) - 1))
        if end < len(part):
            found.append(self._word(part[end:]))

    def _word(self, word: str) -> str:
        if _DIGIT.search(word):
            measure = _MEASURE.match(word)
            if measure is not None and (unit := _UNITS.get(measure[2])) is not None:
                return (_plain(measure[1]) + unit)[:MAX_LENGTH]
            return _plain(word)[:MAX_LENGTH]
        return self._stem(word[:MAX_LENGTH])

    def _stemmed(self, word: str) -> str:
        if self._stemmer is not None:
            with self._lock:
                word = self._stemmer.stemWord(word)
        if word.isascii():
            return word
        apart = unicodedata.normalize("NFD", word)
        bare = "".join(each for each in apart if not "\u0300" <= each <= "\u036f")
        return unicodedata.normalize("NFC", bare)


def _plain(number: str) -> str:
    """A number with a point for its decimals, and nothing between its thousands."""
    if "," in number:
        number = _THOUSANDS.sub(lambda found: found[0].replace(",", ""), number).replace(",", ".")
    return number
