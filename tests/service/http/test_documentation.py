"""The OpenAPI document holds, and what it shows works."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.http.schemas import BATCH_EXAMPLES, REQUEST_EXAMPLES

METHODS = {"get", "post"}


@pytest.fixture(scope="session")
def document(client: httpx.Client) -> dict[str, Any]:
    response = client.get("/openapi.json")
    assert response.status_code == 200
    document: dict[str, Any] = response.json()
    return document


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for child in value.values():
            yield from nodes(child)
    elif isinstance(value, list):
        for child in value:
            yield from nodes(child)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = {node["$ref"] for node in nodes(document) if isinstance(node.get("$ref"), str)}
    assert references
    for reference in references:
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
        assert target["type"] == "object"


def test_every_endpoint_is_documented(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {
        "/recall",
        "/recall/batch",
        "/items/{item_id}/similar",
        "/livez",
        "/readyz",
        "/version",
        "/metrics",
    }
    ids = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert method in METHODS
            assert operation["summary"]
            assert operation["description"]
            assert "200" in operation["responses"]
            ids.append(operation["operationId"])
            named = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))
            for parameter in operation.get("parameters", []):
                assert ("schema" in parameter) != ("content" in parameter)
    assert len(ids) == len(set(ids))


def test_errors_are_problems(document: dict[str, Any]) -> None:
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                assert answer["description"]
                if status.startswith(("4", "5")):
                    assert list(answer["content"]) == ["application/problem+json"]


def test_the_fields_say_what_the_issue_says(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert set(schemas["RecallRequest"]["properties"]) == {
        "query",
        "user_id",
        "session_id",
        "history",
        "k",
        "filters",
        "picture",
        "timeout_ms",
        "weights",
        "boosts",
        "diversity",
        "fields",
        "explain",
    }
    assert schemas["RecallRequest"]["additionalProperties"] is False
    assert "cosine" in schemas["Item"]["properties"]["score"]["description"]


def test_the_document_carries_the_examples(document: dict[str, Any]) -> None:
    content = document["paths"]["/recall"]["post"]["requestBody"]["content"]["application/json"]
    assert content["examples"] == REQUEST_EXAMPLES
    assert document["paths"]["/recall"]["post"]["requestBody"]["required"] is True


@pytest.mark.parametrize("name", REQUEST_EXAMPLES)
def test_each_example_is_answered(client: httpx.Client, name: str) -> None:
    response = client.post("/recall", json=REQUEST_EXAMPLES[name]["value"] | {"timeout_ms": 10_000})
    assert response.status_code == 200, response.text


def test_the_batch_example_is_answered(client: httpx.Client) -> None:
    assert client.post("/recall/batch", json=BATCH_EXAMPLES["two"]["value"]).status_code == 200


def test_what_is_answered_is_documented(document: dict[str, Any], client: httpx.Client) -> None:
    metrics = document["paths"]["/metrics"]["get"]["responses"]["200"]["content"]
    assert client.get("/metrics").headers["content-type"].partition(";")[0] in metrics
    for path in ("/recall", "/recall/batch"):
        assert {"400", "408", "413", "415", "422", "503"} <= set(document["paths"][path]["post"]["responses"])
    (request_id,) = [
        each for each in document["paths"]["/recall"]["post"]["parameters"] if each["name"] == "X-Request-Id"
    ]
    assert request_id["schema"] == {"type": "string"}
    assert client.post("/recall", json={"query": "a"}, headers={"X-Request-Id": "i" * 129}).status_code == 200


@pytest.mark.parametrize("body", [{}, {"query": ""}, {"query": " \t"}, {"history": []}, {"picture": None}])
def test_a_request_for_nothing_is_none_by_its_schema(
    document: dict[str, Any], client: httpx.Client, body: dict[str, Any]
) -> None:
    schema = document["components"]["schemas"]["RecallRequest"]
    assert not any(_allows(each, body) for each in schema["anyOf"])
    assert client.post("/recall", json=body).status_code == 422
    for example in REQUEST_EXAMPLES.values():
        assert any(_allows(each, example["value"]) for each in schema["anyOf"])


def _allows(schema: dict[str, Any], body: dict[str, Any]) -> bool:
    """Whether one of the schema's alternatives holds; of its words, those that it uses."""
    for name in schema["required"]:
        rule, value = schema["properties"][name], body.get(name)
        pattern, length, kind = rule.get("pattern", ""), rule.get("minItems", 0), rule.get("type")
        if value is None or (kind == "string" and not isinstance(value, str)):
            return False
        if (pattern and not re.search(pattern, value)) or (length and len(value) < length):
            return False
    return True
