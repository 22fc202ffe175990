"""Reads an answer and checks it against the shape that it should have."""

from __future__ import annotations

from functools import cache
from typing import TypeVar, cast

from pydantic import TypeAdapter

T = TypeVar("T")


@cache
def _adapter(shape: type) -> TypeAdapter[object]:
    return TypeAdapter(shape)


def read(shape: type[T], content: bytes) -> T:
    """The answer, of one of the shapes in `service.http.answers` and `service.http.problems`."""
    return cast(T, _adapter(shape).validate_json(content))
