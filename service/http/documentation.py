"""The OpenAPI document: endpoints read raw requests, so each says here what FastAPI cannot see."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from service.http import columnar
from service.http.problems import MEDIA_TYPE, Problem
from service.http.versions import PREFIX
from service.settings import Limits

Docs = dict[str, Any]
#: Every model or typed dictionary that an endpoint's documentation refers to, by name.
_shapes: dict[str, type] = {}


def _ref(shape: type) -> Docs:
    _shapes[shape.__name__] = shape
    return {"$ref": f"#/components/schemas/{shape.__name__}"}


def problem(description: str) -> Docs:
    """An answer that is a problem."""
    return {"description": description, "content": {MEDIA_TYPE: {"schema": _ref(Problem)}}}


def answer(description: str, shape: type, columns: type | None = None) -> Docs:
    """An answer, and its columnar form where it has one."""
    forms = {columnar.DEFAULT_TYPE: shape} | ({columnar.MEDIA_TYPE: columns} if columns else {})
    content = {media_type: {"schema": _ref(form)} for media_type, form in forms.items()}
    return {"description": description, "content": content}


def body(shape: type, examples: Mapping[str, Any]) -> Docs:
    """The body of a request."""
    content = {"application/json": {"schema": _ref(shape), "examples": examples}}
    return {"required": True, "content": content}


def parameter(name: str, place: str, schema: Docs, description: str, **more: Any) -> Docs:
    """A parameter in the ``path``, the ``query`` or a ``header``."""
    said = {"name": name, "in": place, "required": place == "path"}
    return {**said, "schema": schema, "description": description, **more}


#: What may come before any endpoint: the connection ends behind it.
CONNECTION_PROBLEMS: dict[int | str, Docs] = {
    421: problem("The service does not answer to this Host; see `server.hosts`."),
    431: problem("The head is over 64 kB, or has over 100 headers."),
}
PROBLEM_503 = problem("Not ready, overloaded, or the index is away; see Retry-After.")
#: Of every endpoint that asks for a key, where keys are set.
KEY_PROBLEMS: dict[int | str, Docs] = {
    401: problem("A key is needed, and it is missing, wrong or expired."),
    403: problem("The key is not for this."),
    429: problem("The key has used up its rate, or too many wrong keys came from here; see Retry-After."),
}
#: Of every endpoint that recalls.
PROBLEMS: dict[int | str, Docs] = {
    **KEY_PROBLEMS,
    422: problem("A field cannot be used; `errors` names it."),
    503: PROBLEM_503,
    504: problem("The time ran out before any route answered."),
}
#: Of those that read a body.
BODY_PROBLEMS: dict[int | str, Docs] = {
    400: problem("The body is not JSON; says where."),
    408: problem("The body did not arrive in time."),
    413: problem("The body is too large, or would cost too much to read."),
    415: problem("The body has a type that is not read here."),
    **PROBLEMS,
}
HEADERS = [
    parameter(
        "X-Request-Id",
        "header",
        {"type": "string"},
        "Returned as sent; made where it is absent, or is not 1 to 128 visible ASCII characters.",
    ),
    parameter(
        "X-Experiment",
        "header",
        {"type": "string"},
        "Chooses variants, of those that are open to the caller; any other name is ignored and told in "
        "X-Experiment-Applied.",
        example="towers=control",
    ),
]


def complete(app: FastAPI, limits: Limits) -> None:
    """Add to the app's OpenAPI document what it refers to; it is built when first asked for.

    Bounds that can be set are those of ``limits``, which are below what the schemas would take.
    """

    @cache
    def openapi() -> dict[str, Any]:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            servers=[
                {"url": PREFIX, "description": "Every path below its version."},
                {"url": "/", "description": "The same without it."},
            ],
        )
        for operations in document["paths"].values():
            for operation in operations.values():
                operation["responses"] |= {str(status): said for status, said in CONNECTION_PROBLEMS.items()}
        components = document.setdefault("components", {})
        if any(path.startswith("/admin") for path in document["paths"]):
            components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        written = orjson.dumps(document).decode()
        named = [shape for name, shape in _shapes.items() if f'/schemas/{name}"' in written]
        _, schemas = TypeAdapter.json_schemas(
            [(shape.__name__, "validation", TypeAdapter(shape)) for shape in named],
            ref_template="#/components/schemas/{model}",
        )
        components["schemas"] = components.get("schemas", {}) | schemas["$defs"]
        _set_bounds(components["schemas"], limits)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI documents


def _set_bounds(schemas: Docs, limits: Limits) -> None:
    """Write the limits of the settings over those of the schemas, wherever a field of the name stands."""
    picture = min(4 * ((limits.picture_bytes + 2) // 3), limits.body_bytes)
    for schema in schemas.values():
        fields = schema.get("properties", {})
        if "maximum" in (k := fields.get("k", {})):
            k["maximum"] = limits.max_k
        for form in fields.get("picture", {}).get("anyOf", ()):
            if "maxLength" in form:
                form["maxLength"] = picture
    if (batch := schemas.get("BatchRequest")) is not None:
        batch["properties"]["requests"]["maxItems"] = limits.batch
