"""The OpenAPI document: the endpoints read raw bodies, so what FastAPI cannot see is said here."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from service.http import columnar
from service.http.admin_schemas import (
    REMOVE_EXAMPLES,
    UPDATE_EXAMPLES,
    UPSERT_EXAMPLES,
    Changed,
    Remove,
    Update,
    Upsert,
)
from service.http.answers import (
    BatchAnswer,
    ColumnarAnswer,
    ColumnarBatchAnswer,
    ColumnarSimilarAnswer,
    RecallAnswer,
    SimilarAnswer,
)
from service.http.problems import MEDIA_TYPE, Problem
from service.http.schemas import (
    BATCH_EXAMPLES,
    FILTERS_EXAMPLE,
    REQUEST_EXAMPLES,
    BatchRequest,
    RecallRequest,
)

#: Bodies and answers; pydantic derives the schemas of models and of typed dictionaries alike.
_COMPONENTS: tuple[type, ...] = (
    RecallRequest,
    BatchRequest,
    RecallAnswer,
    BatchAnswer,
    SimilarAnswer,
    ColumnarAnswer,
    ColumnarBatchAnswer,
    ColumnarSimilarAnswer,
    Problem,
)
_ADMIN: tuple[type, ...] = (Upsert, Update, Remove, Changed)


def _ref(model: type) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {MEDIA_TYPE: {"schema": _ref(Problem)}}}


def _answer(model: type, columns: type, description: str) -> dict[str, Any]:
    forms = {columnar.DEFAULT_TYPE: model, columnar.MEDIA_TYPE: columns}
    content = {media_type: {"schema": _ref(form)} for media_type, form in forms.items()}
    return {"description": description, "content": content}


def _body(model: type, examples: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": _ref(model), "examples": examples}}
    return {"required": True, "content": content}


def _parameter(name: str, place: str, schema: dict[str, Any], text: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "schema": schema,
        "description": text,
    } | more


PROBLEM_503 = _problem("Not ready, overloaded, or the index is away; see Retry-After.")
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    422: _problem("A field cannot be used; `errors` names it."),
    503: PROBLEM_503,
    504: _problem("The time ran out before any route answered."),
}
_BODY_PROBLEMS = {
    400: _problem("The body is not JSON; says where."),
    413: _problem("The body is too large."),
    415: _problem("The body has a type that is not read here."),
} | _PROBLEMS
_HEADERS = [
    _parameter(
        "X-Request-Id", "header", {"type": "string", "maxLength": 128}, "Returned as sent; made where absent."
    ),
    _parameter(
        "X-Experiment",
        "header",
        {"type": "string"},
        "Chooses variants; unknown names are ignored and told in X-Experiment-Applied.",
        example="towers=control",
    ),
]

RECALL_DOCS: dict[str, Any] = {
    "summary": "Recall items",
    "tags": ["recall"],
    "responses": {200: _answer(RecallAnswer, ColumnarAnswer, "The items, best first.")} | _BODY_PROBLEMS,
    "openapi_extra": {"requestBody": _body(RecallRequest, REQUEST_EXAMPLES), "parameters": _HEADERS},
}
BATCH_DOCS: dict[str, Any] = {
    "summary": "Recall items for several requests",
    "tags": ["recall"],
    "responses": {200: _answer(BatchAnswer, ColumnarBatchAnswer, "The answers, in order.")} | _BODY_PROBLEMS,
    "openapi_extra": {"requestBody": _body(BatchRequest, BATCH_EXAMPLES), "parameters": _HEADERS},
}
SIMILAR_DOCS: dict[str, Any] = {
    "summary": "Recall items like an item",
    "tags": ["recall"],
    "responses": {
        200: _answer(SimilarAnswer, ColumnarSimilarAnswer, "The nearest items, best first."),
        404: _problem("The index has no such item."),
    }
    | _PROBLEMS,
    "openapi_extra": {
        "parameters": [
            _parameter("item_id", "path", {"type": "string", "maxLength": 128}, "The item.", example="i7"),
            _parameter("k", "query", {"type": "integer", "minimum": 1, "default": 50}, "Items wanted."),
            {
                "name": "filters",
                "in": "query",
                "required": False,
                "description": "As in POST /recall, as JSON.",
                "content": {"application/json": {"schema": {"type": "object"}, "example": FILTERS_EXAMPLE}},
            },
            _parameter(
                "timeout_ms",
                "query",
                {"type": "integer", "minimum": 1, "maximum": 10_000},
                "Covers the whole request.",
            ),
            *_HEADERS,
        ]
    },
}


def _admin_docs(summary: str, model: type, examples: dict[str, Any], arm: str) -> dict[str, Any]:
    answer = {
        "description": "On disk and in the next answer.",
        "content": {"application/json": {"schema": _ref(Changed)}},
    }
    responses = {
        200: answer,
        401: _problem("The token is missing or wrong."),
        422: _problem("A field cannot be used."),
    }
    extra = {
        "requestBody": _body(model, examples),
        "parameters": [_parameter("towers", "query", {"type": "string"}, arm, example="control")],
        "security": [{"token": []}],
    }
    return {"summary": summary, "responses": responses | {503: PROBLEM_503}, "openapi_extra": extra}


_EVERY = "The arm whose index is changed; every arm's where it is left out."
UPSERT_DOCS = _admin_docs(
    "Add or replace items",
    Upsert,
    UPSERT_EXAMPLES,
    "The arm whose vectors they are, where there are several.",
)
UPDATE_DOCS = _admin_docs("Change attributes of items", Update, UPDATE_EXAMPLES, _EVERY)
REMOVE_DOCS = _admin_docs("Take items out", Remove, REMOVE_EXAMPLES, _EVERY)


def complete(app: FastAPI) -> None:
    """Make the app's OpenAPI document complete; it is built when first asked for."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            admin = any(path.startswith("/admin") for path in document["paths"])
            if admin:
                schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
                schemes["token"] = {"type": "http", "scheme": "bearer"}
            _, schemas = TypeAdapter.json_schemas(
                [
                    (shape.__name__, "validation", TypeAdapter(shape))
                    for shape in (*_COMPONENTS, *(_ADMIN if admin else ()))
                ],
                ref_template="#/components/schemas/{model}",
            )
            components = document.setdefault("components", {}).setdefault("schemas", {})
            components |= schemas["$defs"]
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI documents
