"""The OpenAPI document holds, and what it shows works."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.app import create_app
from service.http.schemas import BATCH_EXAMPLES, REQUEST_EXAMPLES
from tests.service.conftest import Demo
from tests.support.serving import make_settings

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
def test_a_request_for_nothing_is_a_request_and_the_schema_says_how_it_ends(
    document: dict[str, Any], client: httpx.Client, body: dict[str, Any]
) -> None:
    schema = document["components"]["schemas"]["RecallRequest"]
    assert not {"anyOf", "required"} & schema.keys(), "it is answered by what is popular, where that is known"
    assert "with `nothing_to_search_by` in `degraded`" in " ".join(schema["description"].split())
    answer = client.post("/recall", json=body)  # this index does not say what is popular
    assert answer.status_code == 200
    assert answer.json()["items"] == []
    assert answer.json()["degraded"] == ["nothing_to_search_by"]


def test_bounds_are_those_of_the_settings(demo: Demo) -> None:
    limits = {"max_k": 77, "picture_bytes": 1000, "batch": 9}
    schemas = create_app(make_settings(demo.bundle.path, demo.index, limits=limits)).openapi()["components"][
        "schemas"
    ]
    request = schemas["RecallRequest"]["properties"]
    assert request["k"]["maximum"] == 77
    assert [form.get("maxLength") for form in request["picture"]["anyOf"]] == [1336, None]
    assert schemas["BatchRequest"]["properties"]["requests"]["maxItems"] == 9
