from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts import words
from artifacts.words import OLDEST_RULES, RULES, Tokeniser, languages, tokeniser

ENGLISH = Tokeniser("english")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Running SHOES", ["run", "shoe"]),
        ("iphone 15 pro", ["iphon", "15", "pro"]),
        ("A4", ["a4"]),
        ("500ml", ["500ml"]),
        ("500 ML 500 millilitres", ["500ml", "500ml"]),
        ("1,5 L, 1.5 liter", ["1.5l", "1.5l"]),
        ("1,000 g", ["1000g"]),
        ("15inches 15 inch", ["15inch", "15inch"]),
        ('24" monitor, 15.6″', ["24", "24inch", "monitor", "15.6", "15.6inch"]),
        ("5/16” bolt 24''", ["5", "16", "16inch", "bolt", "24", "24inch"]),
        ('"iPhone 15" pro', ["iphon", "15", "15inch", "pro"]),
        ('60"x50" a4" 8 "red" 9\'', ["60", "60inch", "x50", "a4", "8", "red", "9"]),
        ("2 in 1", ["2", "in", "1"]),
        ("size 10", ["size", "10"]),
        ("7 8ml", ["7", "8ml"]),
        ("WH-1000XM4", ["wh", "1000xm4", "wh1000xm4"]),
        ("t-shirt", ["t", "shirt", "tshirt"]),
        ("noise-cancelling", ["nois", "cancel"]),
        ("men's", ["men"]),
        ("L’Oréal", ["oreal", "loreal"]),
        ("café", ["cafe"]),
        ("ﬁne ⅷ", ["fine", "viii"]),
        ("运动鞋", ["运", "动", "鞋", "运动", "动鞋"]),
        ("usb充电9", ["usb", "充", "电", "充电", "9"]),
        ("दुनिया", ["दुनिया"]),
        ("red,blue/green_black", ["red", "blue", "green", "black"]),
        ("-- ''' .,. \x00", []),
        ("", []),
    ],
)
def test_what_a_text_is_found_by(text: str, expected: list[str]) -> None:
    assert ENGLISH.words(text) == expected


def test_stems_are_of_the_language() -> None:
    assert Tokeniser("german").words("Häuser Schuhe") == ["haus", "schuh"]
    assert Tokeniser("none").words("running shoes") == ["running", "shoes"]
    assert tokeniser("french") is tokeniser("french")
    with pytest.raises(ValueError, match="'klingon' is no language of stems; known are arabic"):
        tokeniser("klingon")
    assert {"english", "german", "none"} <= set(languages())


@given(st.text())
def test_any_text_gives_bounded_words_and_case_does_not_matter(text: str) -> None:
    found = ENGLISH.words(text)
    assert all(0 < len(word) <= words.MAX_LENGTH and not re.search(r"\s", word) for word in found)
    if text.isascii():
        assert ENGLISH.words(text.upper()) == found
    # Words apart are words together: nothing depends on what stands further away.
    assert ENGLISH.words(f"{text} shoes") == [*found, "shoe"]


@pytest.mark.parametrize("unit", ["1", "1,", "a-", "a'", "运", "1 ", "é", "ﷺ", "x́", "-", "1ml ", '1"'])
def test_the_worst_texts_cost_no_more_than_they_are_long(unit: str) -> None:
    began = time.process_time()
    assert len(ENGLISH.words(unit * words.MAX_CHARACTERS)) <= words.MAX_WORDS
    assert time.process_time() - began < 0.5


def test_threads_cut_alike() -> None:
    texts = [f"running{chr(97 + n % 26)} shoes{n} boxes{chr(97 + n % 7)}ing" for n in range(2000)]
    expected = [Tokeniser("english").words(text) for text in texts]
    shared = Tokeniser("english")
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(shared.words, texts)) == expected


def test_rules_that_were_before_cut_as_they_did() -> None:
    assert Tokeniser("english", 1).words('24" monitor') == ["24", "monitor"]
    assert Tokeniser("english").words('24" monitor') == ["24", "24inch", "monitor"]
    for unknown in (OLDEST_RULES - 1, RULES + 1):
        with pytest.raises(ValueError, match=f"no rules {unknown}; known are 1 to 2"):
            Tokeniser("english", unknown)
