"""Reads an answer and checks it against the shape that it should have."""

from __future__ import annotations

from functools import cache
from typing import TypeVar, cast

import httpx
from pydantic import TypeAdapter

from service.http.problems import Problem

T = TypeVar("T")


@cache
def _adapter(shape: type) -> TypeAdapter[object]:
    return TypeAdapter(shape)


def read(shape: type[T], content: bytes) -> T:
    """The answer, of one of the shapes in `service.http.answers` and `service.http.problems`."""
    return cast(T, _adapter(shape).validate_json(content))


def check_problem(response: httpx.Response, status: int) -> Problem:
    """The problem that a response is, of this status and with the request's id."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = read(Problem, response.content)
    assert problem["status"] == status
    assert problem["type"].startswith("/problems/")
    assert problem["request_id"] == response.headers["x-request-id"]
    return problem
