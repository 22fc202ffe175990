"""The committed OpenAPI document, and TypeScript's types of it, are what the service says."""

from __future__ import annotations

from devtools.openapi import DOCUMENT, TYPES, document, document_text, types_text

STALE = "run: python -m devtools.openapi"


def test_the_committed_document_is_what_the_service_says() -> None:
    # Lines, so that a failure shows those that differ.
    assert DOCUMENT.read_text(encoding="utf-8").splitlines() == document_text(document()).splitlines(), STALE


def test_the_types_are_those_of_the_document() -> None:
    assert TYPES.read_text(encoding="utf-8").splitlines() == types_text(document()).splitlines(), STALE
