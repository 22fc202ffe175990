"""Errors as RFC 9457 problem details, for everything: parsing, routing, overload, bugs.

An error travels as it was raised; `problem_from` is the one place that says what it means to the client.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, NotRequired

import orjson
from fastapi import Response
from pydantic import ConfigDict, ValidationError, with_config
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from typing_extensions import TypedDict

from common.schema import OMITTED, closed
from service.errors import (
    DeadlinePassed,
    FieldError,
    Forbidden,
    InsufficientStorage,
    ModelFailed,
    NotHere,
    NotReady,
    NotTaken,
    Overloaded,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnknownItem,
)

MEDIA_TYPE = "application/problem+json"
_TITLES = {
    "malformed-json": "The body is not JSON",
    "malformed-request": "The request is not HTTP",
    "head-too-large": "The head is too large",
    "wrong-host": "The service has another name",
    "invalid-request": "The request cannot be used",
    "unsupported-media-type": "The body has a type that is not read here",
    "too-large": "The body is too large",
    "not-found": "There is nothing here",
    "method-not-allowed": "The method is not allowed here",
    "unknown-item": "There is no such item",
    "unavailable": "There is no answer now",
    "overloaded": "Too much is being worked on",
    "not-ready": "The service is not ready",
    "model-failed": "The model fails",
    "deadline": "The time ran out",
    "request-timeout": "The request did not arrive in time",
    "unauthorized": "A key is needed here",
    "forbidden": "The key is not for this",
    "rate-limited": "Too many requests",
    "not-writable": "The index is not changed here",
    "not-taken": "This is not taken here",
    "insufficient-storage": "There is no room for the change",
    "internal": "Something went wrong here",
}
#: Status and type of the service's own errors; of an error's classes the first one counts.
_MEANINGS: dict[type[Exception], tuple[int, str]] = {
    UnknownItem: (404, "unknown-item"),
    NotHere: (404, "not-found"),
    NotReady: (503, "not-ready"),
    ModelFailed: (503, "model-failed"),
    Overloaded: (503, "overloaded"),
    Unavailable: (503, "unavailable"),
    InsufficientStorage: (507, "insufficient-storage"),
    DeadlinePassed: (504, "deadline"),
    Unauthorized: (401, "unauthorized"),
    Forbidden: (403, "forbidden"),
    TooManyRequests: (429, "rate-limited"),
    NotTaken: (501, "not-taken"),
}
_BY_STATUS = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}
_MAX_ERRORS = 20
#: Errors are built all or none, and each takes microseconds; above this many, nobody reads their names.
_MOST_BUILT = 200
_MAX_NAME = 128
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


@with_config(ConfigDict(extra="ignore"))
class FieldProblem(TypedDict):
    """One field that cannot be used."""

    field: str
    reason: str


@closed
class Problem(TypedDict):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    instance: NotRequired[Annotated[str | None, OMITTED]]
    request_id: NotRequired[Annotated[str | None, OMITTED]]
    errors: NotRequired[Annotated[list[FieldProblem] | None, OMITTED]]


@dataclass(eq=False)
class ProblemError(Exception):
    """An error that is its own answer."""

    status: int
    kind: str
    detail: str
    errors: list[FieldProblem] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self, request_id: str) -> Problem:
        """The problem as plain values."""
        body: Problem = {
            # A relative reference, as RFC 9457 allows: a stable name without a site of its own.
            "type": f"/problems/{self.kind}",
            "title": _TITLES[self.kind],
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
        }
        if self.errors:
            body["errors"] = self.errors
        return body

    def response(self, request_id: str) -> Response:
        """The problem as an answer."""
        return Response(
            orjson.dumps(self.body(request_id)), self.status, headers=self.headers, media_type=MEDIA_TYPE
        )


#: Within so many seconds clients come back that have to wait for long, as until a day ends.
_APART_S = 60


def problem_from(error: Exception, retry_after_s: int = 1) -> ProblemError:
    """What an error means to the client; one that nobody foresaw is a 500 that tells nothing.

    Args:
        error: any error that an endpoint or the router raises.
        retry_after_s: when a client may try again that was turned away with a 503.
    """
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, FieldError):
        return _invalid_fields([{"field": _name([error.field]), "reason": str(error)}])
    if isinstance(error, HTTPException):
        kind = "invalid-request" if error.status_code < 500 else "internal"
        kind = _BY_STATUS.get(error.status_code, kind)
        return ProblemError(error.status_code, kind, str(error.detail), headers=error.headers or {})
    for known, (status, kind) in _MEANINGS.items():
        if isinstance(error, known):
            headers = {"Retry-After": str(retry_after_s)} if status == 503 else {}
            if isinstance(error, Unauthorized):
                headers = {"WWW-Authenticate": "Bearer"}
            elif isinstance(error, TooManyRequests):
                headers = {"Retry-After": str(_apart(error.wait_s))}
            return ProblemError(status, kind, str(error), headers=headers)
    return ProblemError(500, "internal", "the error was logged under the request id")


def overloaded(detail: str) -> ProblemError:
    """The problem of a request that is refused so that others are answered."""
    return ProblemError(503, "overloaded", detail)


def _apart(wait_s: float) -> int:
    """Whole seconds to wait: up to twice ``wait_s``, or a minute more, so that clients come back apart."""
    return math.ceil(wait_s) + random.randint(0, min(math.ceil(wait_s), _APART_S))


def unusable(detail: str) -> ProblemError:
    """The problem of a request that cannot be used, where no one field is to blame."""
    return ProblemError(422, "invalid-request", detail)


def invalid_request(error: ValidationError, *within: int | str) -> ProblemError:
    """The problem of a body or query string that does not fit its schema; what the client sent stays out.

    Args:
        error: what was found.
        within: where in the body it was looked for.
    """
    if error.error_count() > _MOST_BUILT:
        return unusable(f"{_name(within)}: {_too_many(error)}")
    found = error.errors(include_url=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        return malformed_json(found[0]["msg"])
    return _invalid_fields(_fields(found, within))


def problems_of(error: ValidationError, *within: int | str) -> list[FieldProblem]:
    """What is wrong with a part of a body that leaves the other parts as they are."""
    if error.error_count() > _MOST_BUILT:
        return [{"field": _name(within), "reason": _too_many(error)}]
    return _fields(error.errors(include_url=False, include_input=False), within)


def field_problem(path: Sequence[int | str], reason: str) -> FieldProblem:
    """What is wrong with a field, whose path may hold names that a client chose."""
    return {"field": _name(path), "reason": printable(reason)}


def _too_many(error: ValidationError) -> str:
    return f"{error.error_count()} fields cannot be used, too many to name them"


def _fields(found: Sequence[ErrorDetails], within: Sequence[int | str]) -> list[FieldProblem]:
    return [
        {"field": _name([*within, *problem["loc"]]), "reason": _reason(problem)}
        for problem in found[:_MAX_ERRORS]
    ]


def malformed_json(reason: str) -> ProblemError:
    """The problem of a body that is not JSON."""
    return ProblemError(400, "malformed-json", printable(reason))


def _invalid_fields(errors: list[FieldProblem]) -> ProblemError:
    detail = f"{errors[0]['field']}: {errors[0]['reason']}"
    return ProblemError(422, "invalid-request", detail, errors)


def _name(path: Sequence[int | str]) -> str:
    name = ".".join(str(part) for part in path if part != "")
    return printable(name)[:_MAX_NAME] or "body"


def _reason(problem: ErrorDetails) -> str:
    """What is wrong in a client's words, not in those of the library that found it."""
    if problem["type"] == "extra_forbidden":
        return "there is no such field"
    return printable(problem["msg"].replace(" after validation", ""))


def printable(text: str) -> str:
    """What a client sent, fit to be given back: no control characters, no half surrogates."""
    return _UNPRINTABLE.sub("?", text)
