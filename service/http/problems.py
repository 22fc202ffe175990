"""Errors as RFC 9457 problem details, for everything: parsing, routing, overload, bugs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException

from service.errors import DeadlinePassed, FieldError, RecallError, Unavailable, UnknownItem
from service.query.batcher import EncoderBusy

MEDIA_TYPE = "application/problem+json"
#: Problem types are relative references, as RFC 9457 allows: stable names without a site of their own.
_TYPE = "/problems/{}"
_TITLES = {
    "malformed-json": "The body is not JSON",
    "invalid-request": "The request cannot be used",
    "unsupported-media-type": "The body has a type that is not read here",
    "too-large": "The body is too large",
    "not-found": "There is nothing here",
    "method-not-allowed": "The method is not allowed here",
    "unknown-item": "There is no such item",
    "unavailable": "There is no answer now",
    "overloaded": "Too much is being worked on",
    "not-ready": "The service is not ready",
    "deadline": "The time ran out",
    "request-timeout": "The body did not arrive in time",
    "unauthorized": "A token is needed here",
    "not-writable": "The index is not changed here",
    "internal": "Something went wrong here",
}
_MAX_ERRORS = 20
_MAX_NAME = 128
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


class ProblemError(Exception):
    """An error that is its own answer."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})

    def body(self, request_id: str | None) -> dict[str, Any]:
        """The problem as plain values."""
        body: dict[str, Any] = {
            "type": _TYPE.format(self.kind),
            "title": _TITLES[self.kind],
            "status": self.status,
            "detail": self.detail,
        }
        if request_id is not None:
            body["request_id"] = request_id
        if self.errors:
            body["errors"] = self.errors
        return body

    def response(self, request_id: str | None) -> Response:
        """The problem as an answer."""
        return Response(
            orjson.dumps(self.body(request_id)), self.status, headers=self.headers, media_type=MEDIA_TYPE
        )


def invalid(error: ValidationError, prefix: str = "") -> ProblemError:
    """The problem of a body or query string that does not fit its schema; what the client sent stays out."""
    found = error.errors(include_url=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        return ProblemError(400, "malformed-json", _printable(found[0]["msg"]))
    errors = [
        {"field": _field([prefix, *problem["loc"]]), "reason": _reason(problem)}
        for problem in found[:_MAX_ERRORS]
    ]
    return ProblemError(422, "invalid-request", _first(errors), errors=errors)


def invalid_field(field: str, reason: str) -> ProblemError:
    """The problem of one field that cannot be used."""
    errors = [{"field": _field([field]), "reason": reason}]
    return ProblemError(422, "invalid-request", _first(errors), errors=errors)


def problem_of(error: Exception, retry_after_s: int = 1) -> ProblemError:
    """The problem that an error of the service means; an unknown error is a 500 that tells nothing."""
    retry = {"Retry-After": str(retry_after_s)}
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, FieldError):
        return invalid_field(error.field, str(error))
    if isinstance(error, UnknownItem):
        return ProblemError(404, "unknown-item", str(error))
    if isinstance(error, EncoderBusy):
        return ProblemError(503, "overloaded", "too many queries wait to be encoded", headers=retry)
    if isinstance(error, Unavailable):
        kind = "overloaded" if type(error) is not Unavailable else "unavailable"
        return ProblemError(503, kind, str(error), headers=retry)
    if isinstance(error, DeadlinePassed):
        return ProblemError(504, "deadline", str(error))
    return ProblemError(500, "internal", "the error was logged under the request id")


def install(app: FastAPI, retry_after_s: int) -> None:
    """Answer every error of the app with a problem."""

    async def known(request: Request, error: Exception) -> Response:
        return problem_of(error, retry_after_s).response(request_id_of(request))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kinds = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}
        kind = kinds.get(error.status_code, "invalid-request" if error.status_code < 500 else "internal")
        problem = ProblemError(error.status_code, kind, str(error.detail), headers=error.headers)
        return problem.response(request_id_of(request))

    app.add_exception_handler(HTTPException, http)
    for kind in (ProblemError, RecallError, EncoderBusy):
        app.add_exception_handler(kind, known)


def request_id_of(request: Request) -> str | None:
    """The id that the middleware gave to the request."""
    request_id: str | None = request.scope.get("mrse.request_id")
    return request_id


def _field(path: Sequence[int | str]) -> str:
    name = ".".join(str(part) for part in path if part != "")
    return _printable(name)[:_MAX_NAME] or "body"


def _reason(problem: ErrorDetails) -> str:
    """What is wrong in a client's words, not in those of the library that found it."""
    if problem["type"] == "extra_forbidden":
        return "there is no such field"
    return _printable(problem["msg"].replace(" after validation", ""))


def _first(errors: Sequence[Mapping[str, str]]) -> str:
    return f"{errors[0]['field']}: {errors[0]['reason']}"


def _printable(text: str) -> str:
    """Names of unknown fields come from the client: no control characters, no half surrogates."""
    return _UNPRINTABLE.sub("?", text)
