"""What the calls of ``docs/reference/api.md`` look like, and what a service answered to them.

::

    KEY=… python -m devtools.reference.answers http://127.0.0.1:8080

asks a service that has everything on (an admin token, rules, experiments, events) and keeps the answers in
``devtools/reference/answers.json``, lists cut to two entries.
"""

from __future__ import annotations

import base64
import copy
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from devtools.openapi import DOCUMENT

KEPT = Path(__file__).with_name("answers.json")
_BASE = "http://127.0.0.1:8080"
_NAMES = {"item_id": "i7", "user_id": "u42"}
_QUERIES = {"similar_items": "?k=2"}
#: What is asked before and after all others.
_ORDER = (
    ("put_items", "put_item", "upsert_rules", "change_experiments"),
    (),
    ("delete_item", "delete_items", "index_remove", "remove_rules"),
)
_MOST = 2
#: Calls that are asked so often; the quickest answer is kept: what others on the machine do is no example.
_SEARCHES, _TRIES = ("recall", "recall_batch", "similar_items"), 50


def curl(method: str, path: str, call: dict[str, Any], answer: dict[str, Any] | None = None) -> str:
    """The call as a command line, with the body that was recorded with its answer; else with its example."""
    parts = ["curl -s"]
    if method != "GET":
        parts.append(f"-X {method}" if method != "POST" else "")
    parts.append(_BASE + _target(path, call))
    if call.get("security"):
        parts.append('-H "Authorization: Bearer $KEY"')
    body = example(call) if answer is None else answer["asked"]
    if body is not None:
        parts.append("-H 'Content-Type: application/json' \\\n  -d " + shlex.quote(json.dumps(body)))
    return " ".join(part for part in parts if part)


def place(name: str) -> int:
    """Sorts operations so that what takes out comes behind what puts in."""
    return next((at for at, names in enumerate(_ORDER) if name in names), 1)


def example(call: dict[str, Any]) -> Any:
    """The body that OpenAPI gives as the call's first example, None where there is none."""
    content = call.get("requestBody", {}).get("content", {}).get("application/json", {})
    examples = list(content.get("examples", {}).values())
    return examples[0]["value"] if examples else None


def recorded() -> dict[str, dict[str, Any]]:
    """What was asked, status and body by operation id."""
    kept: dict[str, dict[str, Any]] = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    return kept


def _target(path: str, call: dict[str, Any]) -> str:
    return "/v1" + path.format(**_NAMES) + _QUERIES.get(call["operationId"], "")


def _ask(client: httpx.Client, method: str, path: str, call: dict[str, Any]) -> dict[str, Any]:
    asked = example(call)
    body = copy.deepcopy(asked)
    if call["operationId"] == "index_upsert":  # the document's vector is short, to be read
        vector = np.eye(1, 128, dtype=np.float16)
        body["items"][0]["vector"] = base64.b64encode(vector.tobytes()).decode()
    tries = _TRIES if call["operationId"] in _SEARCHES else 1
    answer = min(
        (client.request(method, _target(path, call), json=body) for _ in range(tries)),
        key=lambda each: each.elapsed,
    )
    kind = answer.headers.get("content-type", "")
    content = _cut(answer.json()) if "json" in kind else "\n".join(answer.text.splitlines()[: _MOST * 3])
    return {"asked": asked, "status": answer.status_code, "body": content}


def _cut(value: Any) -> Any:
    if isinstance(value, list):
        return [_cut(each) for each in value[:_MOST]]
    return {key: _cut(each) for key, each in value.items()} if isinstance(value, dict) else value


def main(url: str) -> int:
    """Ask for all answers, with what takes out behind what puts in, and keep them."""
    api = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    calls = [(m.upper(), path, call) for path, methods in api["paths"].items() for m, call in methods.items()]
    calls.sort(key=lambda each: place(each[2]["operationId"]))
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {os.environ['KEY']}"}) as client:
        kept = {call["operationId"]: _ask(client, method, path, call) for method, path, call in calls}
    KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, each in kept.items():
        print(name, each["status"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
