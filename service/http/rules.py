"""``/admin/rules``: pins and bans by query, changed while the service runs. Mounted with the admin API.

When a call answers 200 its rules are on disk and in every worker's next answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import islice
from typing import Annotated, Any

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError
from typing_extensions import TypedDict

from service.access.guard import CALLER
from service.errors import FieldError, InsufficientStorage
from service.http import documentation as docs
from service.http.columnar import json_response
from service.http.cost import CHANGES, IDS, query_parameters
from service.http.problems import ProblemError, invalid_request
from service.http.requests import Call, parse, parse_entries
from service.http.routing import RawRoute
from service.recall.controls.rulebook import RuleBook
from service.recall.controls.rules import Rule, RulesError, items_of, rule_key

#: Rules in a call, and in an answer.
MAX_IN_CALL = 1000
_Query = Annotated[str, Field(min_length=1, max_length=512)]


class UpsertRules(BaseModel):
    """Rules to add, or to put in place of those of the same queries."""

    model_config = ConfigDict(extra="forbid")

    rules: list[Rule] = Field(min_length=1, max_length=MAX_IN_CALL)


class RemoveRules(BaseModel):
    """Queries whose rules are removed."""

    model_config = ConfigDict(extra="forbid")

    queries: Annotated[list[_Query], FailFast()] = Field(min_length=1, max_length=MAX_IN_CALL)


class _Envelope(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rules: list[Any] = Field(min_length=1, max_length=MAX_IN_CALL)


class RulesChanged(TypedDict):
    """How many rules were changed, the queries that have none, and how many rules there are now."""

    changed: int
    unknown: list[str]
    rules: int


class RulesListed(TypedDict):
    """Some of the rules, in the order of the file, and how many there are."""

    rules: list[Rule]
    total: int


async def list_rules(request: Request) -> Response:
    """The rule of ``?query=``, or up to 1,000 rules from ``?offset=`` on."""
    call = Call(request)
    book, parameters = _book(call), query_parameters(request)
    rules = await book.rules()
    shown: Sequence[Rule]
    if (query := parameters.get("query")) is not None:
        key = rule_key(query)
        shown = [rules[key]] if key in rules else []
    else:
        offset = parameters.get("offset", "0")
        if not offset.isascii() or not offset.isdigit() or len(offset) > 9:
            raise FieldError("offset", "Input should be a whole number from 0 on")
        shown = list(islice(rules.values(), int(offset), int(offset) + MAX_IN_CALL))
    listed = [rule.model_dump(mode="json") for rule in shown]
    return json_response({"rules": listed, "total": len(rules)})


async def upsert_rules(request: Request) -> Response:
    """Add rules, or replace those of the same queries."""
    call = Call(request)
    book = _book(call)

    def parse_rule(entry: Any, place: int) -> Rule:
        try:
            return Rule.model_validate(entry)
        except ValidationError as error:
            raise invalid_request(error, "rules", place) from error

    rules = await parse_entries(_Envelope, "rules", await call.read(CHANGES), parse_rule)
    keys = [rule.key for rule in rules]
    seen: set[str] = set()
    for place, key in enumerate(keys):
        if key in seen:
            raise FieldError(f"rules.{place}.query", "another rule of this call has the same query")
        seen.add(key)
    total = await _changed(call, book, rules, (), "rules/upsert", keys)
    return json_response({"changed": len(rules), "unknown": [], "rules": total})


async def remove_rules(request: Request) -> Response:
    """Remove the rules of queries."""
    call = Call(request)
    book = _book(call)
    body = parse(RemoveRules, await call.read(IDS))
    there = await book.rules()
    keys = {rule_key(query): query for query in body.queries}
    gone = [there[key] for key in keys if key in there]
    total = await _changed(call, book, gone, list(keys), "rules/remove", list(keys))
    unknown = [query for key, query in keys.items() if key not in there]
    return json_response({"changed": len(gone), "unknown": unknown, "rules": total})


async def _changed(
    call: Call, book: RuleBook, rules: Sequence[Rule], remove: Sequence[str], what: str, keys: Sequence[str]
) -> int:
    """Make a change and write down who made it: its items, a digest of its queries; how many are left."""
    scope, put = call.request.scope, () if remove else rules
    digest = hashlib.sha256("\n".join(keys).encode("utf-8", "surrogatepass")).hexdigest()
    address = (scope.get("client") or ("",))[0]
    audited = call.runtime.audit.change(
        scope[CALLER].name,
        what,
        items_of(rules),
        rules=len(keys),
        queries_sha256=digest,
        address=address,
        request_id=call.request_id,
    )
    async with audited:
        try:
            return await book.change(put, remove)
        except RulesError as error:
            raise FieldError("rules", str(error)) from error
        except OSError as error:
            raise InsufficientStorage(f"the rules were not changed: {error.strerror or error}") from error


def _book(call: Call) -> RuleBook:
    book = call.runtime.rules
    if book.path is None:
        raise ProblemError(501, "not-writable", "the service has no file of rules: set rules.path")
    return book


def _route(
    path: str, endpoint: Any, method: str, summary: str, answer: docs.Docs, more: docs.Docs
) -> RawRoute:
    problems = docs.BODY_PROBLEMS if method == "POST" else docs.PROBLEMS
    return RawRoute(
        path,
        endpoint,
        needs="write",
        methods=[method],
        summary=summary,
        tags=["admin"],
        responses={
            200: answer,
            **problems,
            501: docs.problem("The service has no file of rules."),
            507: docs.problem("The file cannot be written; nothing was changed."),
        },
        openapi_extra={**more, "security": [{"token": []}]},
    )


routes = [
    _route(
        "/admin/rules",
        list_rules,
        "GET",
        "Pins and bans",
        docs.answer("Rules, as the file has them now.", RulesListed),
        {
            "parameters": [
                docs.parameter("query", "query", {"type": "string"}, "The rule of this query alone."),
                docs.parameter("offset", "query", {"type": "integer", "minimum": 0}, "Rules to leave out."),
            ]
        },
    ),
    _route(
        "/admin/rules/upsert",
        upsert_rules,
        "POST",
        "Pin and ban items",
        docs.answer("On disk and in the next answer.", RulesChanged),
        {
            "requestBody": docs.body(
                UpsertRules,
                {"one": {"value": {"rules": [{"query": "red shoes", "pins": ["i7"], "bans": ["i9"]}]}}},
            )
        },
    ),
    _route(
        "/admin/rules/remove",
        remove_rules,
        "POST",
        "Remove pins and bans",
        docs.answer("On disk and in the next answer.", RulesChanged),
        {"requestBody": docs.body(RemoveRules, {"one": {"value": {"queries": ["red shoes"]}}})},
    ),
]
