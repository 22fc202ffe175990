"""Of ``docs/reference/api.md``: every call with curl and a recorded answer, and every shape, from OpenAPI."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from devtools.openapi import DOCUMENT
from devtools.reference import answers
from devtools.reference.keys import cell, plain, type_of

_WIDTH = 100
_COLUMNS = "| {} | type | needed | means |\n|---|---|---|---|\n"


def made() -> str:
    """The calls, then the shapes of what they take and give."""
    api = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    recorded = answers.recorded()
    calls = [
        _call(method.upper(), path, call, recorded.get(call["operationId"]))
        for path, methods in api["paths"].items()
        for method, call in methods.items()
    ]
    shapes = api["components"]["schemas"]
    listed = "\n".join(
        f"| [`{method.upper()} {path}`](#{_anchor(f'{method} {path}')}) | {cell(call['summary'])} |"
        for path, methods in api["paths"].items()
        for method, call in methods.items()
    )
    return f"| call | does |\n|---|---|\n{listed}\n\n{''.join(calls)}\n## Shapes\n\n" + "".join(
        _shape(name, schema, shapes) for name, schema in shapes.items()
    )


def _call(method: str, path: str, call: dict[str, Any], recorded: dict[str, Any] | None) -> str:
    parts = [
        f"\n## `{method} {path}`\n",
        f"{call['summary']}. {_about(call)}".strip(),
    ]
    if parameters := list(_parameters(call)):
        parts.append(_COLUMNS.format("parameter") + "\n".join(parameters))
    if schema := _json(call.get("requestBody", {})):
        parts.append(f"The body is a {_link(schema)}.")
    parts.append(f"```sh\n{answers.curl(method, path, call, recorded)}\n```")
    if recorded is not None:
        body = recorded["body"]
        kind, text = ("text", body) if isinstance(body, str) else ("json", _shown(body))
        parts.append(f"```{kind}\n{text.strip()}\n```")
    parts.append("| status | means | body |\n|---|---|---|\n" + "\n".join(_statuses(call)))
    return "\n\n".join(parts) + "\n"


def _anchor(heading: str) -> str:
    """What a heading's anchor is, as MkDocs and GitHub make it."""
    return re.sub(r"[^\w\s-]", "", heading).strip().lower().replace(" ", "-")


def _shown(value: Any, indent: str = "") -> str:
    """JSON in which what is short stands on one line."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(flat) <= _WIDTH or not isinstance(value, dict | list):
        return flat
    inner = indent + "  "
    if isinstance(value, list):
        lines, (start, end) = [_shown(each, inner) for each in value], "[]"
    else:
        lines, (start, end) = [f"{json.dumps(k)}: {_shown(v, inner)}" for k, v in value.items()], "{}"
    return f"{start}\n" + ",\n".join(inner + line for line in lines) + f"\n{indent}{end}"


def _about(call: dict[str, Any]) -> str:
    text = plain(call.get("description") or "")
    return text if text.rstrip(".") != call["summary"].rstrip(".") else ""


def _parameters(call: dict[str, Any]) -> Iterator[str]:
    for each in call.get("parameters", []):
        needed = "yes" if each.get("required") else ""
        kind = cell(type_of(each.get("schema", {"type": "string"}), {}))
        told = cell(plain(each.get("description", "")))
        yield f"| `{each['name']}` ({each['in']}) | {kind} | {needed} | {told} |"


def _statuses(call: dict[str, Any]) -> Iterator[str]:
    for status, answer in sorted(call["responses"].items()):
        schema = _json(answer)
        told = answer["description"].replace("Successful Response", "As asked.")
        yield f"| {status} | {cell(told)} | {_link(schema) if schema else ''} |"


def _json(body: dict[str, Any]) -> dict[str, Any]:
    contents = [each.get("schema") for kind, each in body.get("content", {}).items() if "json" in kind]
    return next((each for each in contents if each), {})


def _link(schema: dict[str, Any]) -> str:
    if "$ref" not in schema:
        return ""
    name = schema["$ref"].rpartition("/")[2]
    return f"[`{name}`](#{name.lower()})"


def _shape(name: str, schema: dict[str, Any], shapes: dict[str, Any]) -> str:
    needed = schema.get("required", [])
    lines = [
        f"| `{key}` | {_typed(each, shapes)} | {'yes' if key in needed else ''} | {_told(each)} |"
        for key, each in schema.get("properties", {}).items()
    ]
    about = plain(schema.get("description", "")).strip()
    return f"\n### `{name}`\n\n{about}\n\n{_COLUMNS.format('field')}" + "\n".join(lines) + "\n"


def _typed(schema: dict[str, Any], shapes: dict[str, Any]) -> str:
    if "$ref" in schema:
        return _link(schema)
    for option in schema.get("anyOf", []):
        if option.get("type") != "null":
            return f"{_typed(option, shapes)} or null"
    if schema.get("type") == "array":
        return f"list of {_typed(schema.get('items', {}), shapes)}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"names to {_typed(schema['additionalProperties'], shapes)}"
    if schema.get("type") == "string":
        return "text" if "enum" not in schema else cell(type_of(schema, shapes))
    return cell(type_of(schema, shapes)).replace("table", "object")


def _told(schema: dict[str, Any]) -> str:
    text = plain(schema.get("description", ""))
    if "\n- `" in text:  # the words of `degraded`, which have a page of their own
        text = text.split("\n\n- `")[0] + " [The words](errors.md#words-of-degraded)."
    default = schema.get("default")
    if default not in (None, "", [], {}, False):
        text += f" Without it `{json.dumps(default)}`."
    return cell(text)
