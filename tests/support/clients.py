"""The list of cases that the clients of every language pass, and what runs it."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import mrse_client
from mrse_client import AsyncClient, Client, Columns, Problem

CLIENT = Path(__file__).parents[2] / "client"
CASES: list[dict[str, Any]] = json.loads((CLIENT / "cases.json").read_text(encoding="utf-8"))
#: What npm says where it has no way to a registry.
_OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ECONNRESET", "ENOTCACHED")
#: For the service to be asked by a busy machine.
PATIENT_MS = 10_000


def check_python(url: str) -> None:
    """Run the cases through both Python clients."""
    with Client(url, timeout_ms=PATIENT_MS) as client:
        for case in CASES:
            _judge(case, lambda case=case: _made(client, case))

    async def check_async() -> None:
        async with AsyncClient(url, timeout_ms=PATIENT_MS) as client:
            for case in CASES:
                try:
                    answer: Any = await _made(client, case)
                except Problem as problem:
                    answer = problem
                _judge(case, lambda answer=answer: answer)

    asyncio.run(check_async())


def _made(client: Client | AsyncClient, case: dict[str, Any]) -> Any:
    method, arguments = getattr(client, case["call"]), dict(case["arguments"])
    # What is not a keyword comes first: the requests of a batch, ids, the id of an item.
    names = inspect.signature(method).parameters
    first = [arguments.pop(name) for name in ("requests", "ids", "item_id") if name in names]
    return method(*first, **arguments)


def _judge(case: dict[str, Any], make: Any) -> None:
    try:
        found = make()
    except Problem as problem:
        found = problem
    if "error" in case:
        wanted = case["error"]
        assert isinstance(found, getattr(mrse_client, wanted["class"])), (case["name"], found)
        assert (found.status, found.kind) == (wanted["status"], wanted["kind"]), case["name"]
        assert found.request_id
        if "field" in wanted:
            assert [each.field for each in found.errors] == [wanted["field"]], case["name"]
            assert found.errors[0].reason
        return
    assert not isinstance(found, Exception), (case["name"], found)
    if isinstance(found, Columns):
        assert len(found.item_id) == len(found.score)
        found = found.answer
    for pointer, value in case["equals"].items():
        assert _at(found, pointer) == value, (case["name"], pointer, found)


def _at(value: Any, pointer: str) -> Any:
    for part in pointer.split("/"):
        if isinstance(value, list):
            value = len(value) if part == "length" else value[int(part)]
        else:
            value = value[part]
    return value


def build_typescript(folder: Path) -> Path:
    """Build the TypeScript client in a copy, or skip the test where npm cannot be used."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed: the TypeScript client is not tested")
    copy = folder / "client/typescript"
    shutil.copytree(
        CLIENT / "typescript", copy, ignore=shutil.ignore_patterns("node_modules", "dist"), dirs_exist_ok=True
    )
    shutil.copy(CLIENT / "cases.json", folder / "client")
    install = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"]
    done = subprocess.run(install, cwd=copy, capture_output=True, text=True, timeout=300, check=False)
    if any(word in done.stderr for word in _OFFLINE):
        pytest.skip(f"npm has no registry: {done.stderr.strip().splitlines()[0]}")
    assert done.returncode == 0, done.stderr[-2000:]
    _run(["npm", "run", "build"], copy)
    return copy


def run_node(built: Path, test: str, **variables: str) -> str:
    """A file of tests of the TypeScript client; what node says of it."""
    return _run(["node", "--test", f"test/{test}.test.mjs"], built, **variables)


def _run(command: list[str], folder: Path, **variables: str) -> str:
    environment = os.environ | variables
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-2000:]}"
    return done.stdout
