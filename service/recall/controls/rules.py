"""Pins and bans by query: what a rule is, and the file of them.

The file is JSON: ``{"format": 1, "rules": [{"query": "red shoes", "pins": ["i7"], "bans": ["i9"]}]}``. A rule
holds for requests whose query is the same in its normal form (case, spaces and width do not matter); that of
the query ``*`` holds for all, also for those without words, and can ban only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError, model_validator

from artifacts.attributes import MAX_ID_BYTES
from artifacts.bundle.text import normalise
from common.errors import MrseError
from common.files import read_bounded, replacing

FORMAT: Literal[1] = 1
#: The query of the rule for all requests.
EVERY = "*"
#: Bounds, so that the worst rule costs a request no more than some hundred candidates more, and the largest
#: file a worker some 20 MB and a tenth of a second. *Inferred*: many times what a shop's people keep by hand.
MAX_PINS = 20
MAX_BANS = 200
MAX_RULES = 20_000
MAX_BYTES = 16 * 1024 * 1024

Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_BYTES)]


class RulesError(MrseError):
    """A file of rules cannot be used; the message names it and says why."""


class Rule(BaseModel):
    """What a query's answer begins with, and what it never has."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: str = Field(min_length=1, max_length=512)
    #: At the first places, in this order; of those that are not in the index, or do not pass the request's
    #: filters, the others move up.
    pins: Annotated[tuple[Id, ...], FailFast()] = Field(default=(), max_length=MAX_PINS)
    #: Never in the answer.
    bans: Annotated[tuple[Id, ...], FailFast()] = Field(default=(), max_length=MAX_BANS)

    @model_validator(mode="after")
    def _makes_sense(self) -> Rule:
        if not self.pins and not self.bans:
            raise ValueError("a rule has pins or bans")
        if not self.key:
            raise ValueError("a rule has a query of words, or *")
        if self.key == EVERY and self.pins:
            raise ValueError("the rule of all queries has bans alone")
        if both := sorted(set(self.pins) & set(self.bans)):
            raise ValueError(f"{both[0][:64]!r} is pinned and banned")
        if len(set(self.pins)) < len(self.pins) or len(set(self.bans)) < len(self.bans):
            raise ValueError("an item stands twice among the pins or the bans")
        return self

    @property
    def key(self) -> str:
        """What the rule is found by."""
        return rule_key(self.query)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = FORMAT
    rules: Annotated[list[Rule], FailFast()] = Field(default_factory=list, max_length=MAX_RULES)


def rule_key(query: str) -> str:
    """The form in which queries of rules are compared."""
    return EVERY if query.strip() == EVERY else str(normalise(query))


def read_rules(path: Path) -> dict[str, Rule]:
    """The rules of a file, by `Rule.key`; none where there is no file.

    Raises:
        RulesError: it cannot be read, holds something else, is over the bounds, or two rules have one query.
    """
    try:
        content = orjson.loads(read_bounded(path, MAX_BYTES))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RulesError(f"rules {path}: {error.strerror or error}") from error
    except orjson.JSONDecodeError as error:
        raise RulesError(f"rules {path}: not JSON: {error}") from error
    found = content.get("format") if isinstance(content, dict) else None
    if isinstance(found, int) and not isinstance(found, bool) and found > FORMAT:
        raise RulesError(f"rules {path}: format {found} is of a newer mrse; this one reads up to {FORMAT}")
    try:
        rules = _File.model_validate(content).rules
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise RulesError(f"rules {path}: {where}: {first['msg'].removeprefix('Value error, ')}") from error
    by_key: dict[str, Rule] = {}
    for place, rule in enumerate(rules):
        if rule.key in by_key:
            raise RulesError(f"rules {path}: rules.{place}: another rule has the same query {rule.query!r}")
        by_key[rule.key] = rule
    return by_key


def write_rules(path: Path, rules: Mapping[str, Rule]) -> None:
    """Write the file; it is on disk, whole, when this returns.

    Raises:
        RulesError: there are too many.
        OSError: the disk.
    """
    content = orjson.dumps({"format": FORMAT, "rules": list(map(_plain, rules.values()))})
    if len(rules) > MAX_RULES or len(content) > MAX_BYTES:
        raise RulesError(
            f"{len(rules):,} rules of {len(content):,} bytes; at most {MAX_RULES:,} rules and {MAX_BYTES:,} "
            "bytes are allowed"
        )
    with replacing(path, durable=True) as written:
        written.write_bytes(content + b"\n")


def items_of(rules: Iterable[Rule]) -> list[str]:
    """The items that rules name, each once."""
    return list(dict.fromkeys(item for rule in rules for item in (*rule.pins, *rule.bans)))


def _plain(rule: Rule) -> dict[str, Any]:
    return {name: value for name, value in rule.model_dump(mode="json").items() if value}
