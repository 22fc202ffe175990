"""Rules of pins and bans: what a file may hold, and the book that follows it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from service.errors import StartError
from service.recall.controls.rulebook import RuleBook
from service.recall.controls.rules import MAX_PINS, Rule, RulesError, read_rules, write_rules


def written(path: Path, *rules: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"format": 1, "rules": rules}))
    return path


def test_a_rule_is_found_by_its_query_in_its_normal_form(tmp_path: Path) -> None:
    book = RuleBook(
        written(tmp_path / "rules.json", {"query": "  Red  SHOES ", "pins": ["i7"], "bans": ["i9"]})
    )
    assert book.ruling("red shoes") == (["i7"], {"i9"}, True)
    assert book.ruling("red shoe") == ((), frozenset(), False)
    assert book.ruling("") == ((), frozenset(), False)


def test_the_rule_of_all_queries_bans_everywhere_and_wins(tmp_path: Path) -> None:
    path = written(
        tmp_path / "rules.json",
        {"query": "*", "bans": ["gone", "i7"]},
        {"query": "hat", "pins": ["i7", "i8"], "bans": ["i1"]},
    )
    book = RuleBook(path)
    assert book.ruling("") == ((), {"gone", "i7"}, False)
    assert book.ruling("*").bans == {"gone", "i7"}
    assert book.ruling("hat") == (["i8"], {"gone", "i7", "i1"}, True)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON"),
        ("[]", "the file"),
        ('{"format": 2}', "format 2 is of a newer mrse"),
        ('{"rules": [{"query": "a"}]}', "rules.0: a rule has pins or bans"),
        ('{"rules": [{"query": " ", "bans": ["i"]}]}', "a rule has a query of words"),
        ('{"rules": [{"query": "*", "pins": ["i"]}]}', "has bans alone"),
        ('{"rules": [{"query": "a", "pins": ["i"], "bans": ["i"]}]}', "pinned and banned"),
        ('{"rules": [{"query": "a", "pins": ["i", "i"]}]}', "stands twice"),
        ('{"rules": [{"query": "a", "pins": [""]}]}', "rules.0.pins.0"),
        ('{"rules": [{"query": "a", "pin": ["i"]}]}', "rules.0.pin"),
        (
            '{"rules": [{"query": "A", "pins": ["i"]}, {"query": "a ", "pins": ["j"]}]}',
            "rules.1: another rule",
        ),
        (
            json.dumps({"rules": [{"query": "a", "pins": [f"{n}" for n in range(MAX_PINS + 1)]}]}),
            "rules.0.pins",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_says_why(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "rules.json"
    path.write_text(content)
    with pytest.raises(RulesError, match=said) as raised:
        read_rules(path)
    assert str(path) in str(raised.value)
    with pytest.raises(StartError, match=said):
        RuleBook(path)


def test_no_file_is_no_rules_and_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    assert read_rules(path) == {}
    rules = {"a": Rule(query="a", pins=("i",)), "*": Rule(query="*", bans=("j",))}
    write_rules(path, rules)
    assert read_rules(path) == rules


async def test_a_change_of_the_file_is_followed_and_a_slip_changes_nothing(tmp_path: Path) -> None:
    path, told = tmp_path / "rules.json", list[str]()
    book = RuleBook(path, told.append)
    await book.current()
    assert (len(book), told) == (0, [])
    written(path, {"query": "a", "pins": ["i"]})
    await asyncio.gather(*(book.current() for _ in range(5)))
    assert (book.ruling("a").pins, told) == (["i"], ["read"])
    path.write_text("{")
    await book.current()
    await book.current()
    assert (book.ruling("a").pins, told) == (["i"], ["read", "failed"])
    path.unlink()
    await book.current()
    assert (len(book), told) == (0, ["read", "failed", "read"])


async def test_a_request_does_not_wait_long_for_a_file_that_is_being_read(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    book = RuleBook(path)
    written(path, {"query": "a", "pins": ["i"]})
    async with book._reading:  # as a large file would be
        await book.current(patience_s=0.001)
        assert not book.ruling("a").told, "it goes on by the rules as they were"
        await book.current(patience_s=0.001)
    await book.current()
    assert book.ruling("a").told, "the reading went on"


async def test_workers_that_change_rules_at_once_lose_none(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    books = [RuleBook(path) for _ in range(4)]
    await asyncio.gather(
        *(
            book.change([Rule(query=f"q{worker} {n}", bans=("i",))], ())
            for worker, book in enumerate(books)
            for n in range(5)
        )
    )
    for book in books:
        await book.current()
        assert len(book) == 20
    await books[0].change((), ["q1 1", "nothing"])
    await books[3].current()
    assert not books[3].ruling("q1 1").told
    assert len(books[3]) == 19
