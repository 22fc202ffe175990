"""Writes what the service says of its API into ``client/``: the OpenAPI document, and types for TypeScript.

    python -m devtools.openapi

Both are committed, and ``tests/docs/test_openapi.py`` says when they are stale.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

CLIENT = Path(__file__).parents[1] / "client"
DOCUMENT = CLIENT / "openapi.json"
TYPES = CLIENT / "typescript/src/openapi.ts"
_SCALARS = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
_NAME = re.compile(r"[A-Za-z_$][\w$]*")


def document() -> dict[str, Any]:
    """The OpenAPI document of a service with everything on, changes by clients included."""
    from service.app import create_app
    from service.settings import load_settings

    return create_app(load_settings(None, {"server": {"admin_token": "0" * 32}})).openapi()


def document_text(api: dict[str, Any]) -> str:
    """The document as the file has it."""
    return json.dumps(api, indent=1, ensure_ascii=False) + "\n"


def types_text(api: dict[str, Any]) -> str:
    """An exported type for each schema of the document."""
    parts = ["// Made of client/openapi.json by `python -m devtools.openapi`: do not edit.\n"]
    for name, schema in sorted(api["components"]["schemas"].items()):
        parts.append(f"{_comment(schema, '')}export type {name} = {_type(schema, '')};\n")
    return "\n".join(parts)


def _type(schema: Any, indent: str) -> str:
    if not isinstance(schema, dict) or not schema:
        return "unknown"
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    kind = schema.get("type")
    if kind is None:
        options = schema.get("anyOf") or schema.get("oneOf") or []
        return " | ".join(dict.fromkeys(_type(option, indent) for option in options)) or "unknown"
    if isinstance(kind, list):
        return " | ".join(_type(schema | {"type": each}, indent) for each in kind)
    if kind == "array":
        return f"Array<{_type(schema.get('items'), indent)}>"
    if kind == "object":
        return _object(schema, indent)
    return _SCALARS[kind]


def _object(schema: dict[str, Any], indent: str) -> str:
    properties, required = schema.get("properties"), schema.get("required", ())
    if not properties:
        return f"Record<string, {_type(schema.get('additionalProperties'), indent)}>"
    inner = indent + "  "
    lines = ["{"]
    for name, each in properties.items():
        key = name if _NAME.fullmatch(name) else json.dumps(name)
        optional = "" if name in required else "?"
        lines.append(f"{_comment(each, inner)}{inner}{key}{optional}: {_type(each, inner)};")
    return "\n".join([*lines, f"{indent}}}"])


def _comment(schema: Any, indent: str) -> str:
    text = schema.get("description", "") if isinstance(schema, dict) else ""
    if not text:
        return ""
    text = text.replace("*/", "* /")
    if "\n" not in text:
        return f"{indent}/** {text} */\n"
    lines = "\n".join(f"{indent} * {line}".rstrip() for line in text.split("\n"))
    return f"{indent}/**\n{lines}\n{indent} */\n"


def main() -> int:
    """Write both files."""
    api = document()
    DOCUMENT.write_text(document_text(api), encoding="utf-8")
    TYPES.write_text(types_text(api), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
