"""The calls of `docs/reference/api.md`, as curl sends them, to a service that has everything on."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from devtools.openapi import DOCUMENT
from devtools.pages import blocks
from devtools.redis import redis_server
from devtools.reference.answers import place, recorded
from tests.service.conftest import Demo
from tests.support.serving import Server, make_settings, serving

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def server(demo: Demo, tmp_path: Path) -> Iterator[Server]:
    """A service whose items, rules and experiments may be changed, and which takes events."""
    (tmp_path / "redis").mkdir()
    with (
        redis_server(tmp_path / "redis") as redis,
        serving(
            make_settings(
                demo.bundle.path,
                copytree(demo.index, tmp_path / "index"),
                server={"admin_token": KEY},
                redis={"url": redis.url, "timeout_ms": 2000},
                events={"stream": "behaviours"},
                rules={"path": tmp_path / "rules.json"},
                assignment={"path": tmp_path / "experiments.json"},
                experiments={"merge": {"control": {"weight": 1}}},
            )
        ) as running,
    ):
        yield running


def test_every_call_of_the_page_is_answered_as_the_page_says(
    server: Server, demo: Demo, tmp_path: Path
) -> None:
    """In an order in which what is taken out was put in. The page's vector is short, to be read."""
    api = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    calls = [call["operationId"] for methods in api["paths"].values() for call in methods.values()]
    shown = dict(zip(calls, blocks("docs/reference/api.md", "sh"), strict=True))
    vector = np.eye(1, demo.bundle.manifest.dimensions.embedding_dim, dtype=np.float16)
    whole = base64.b64encode(vector.tobytes()).decode()
    for name in sorted(calls, key=place):
        command = shown[name].replace("http://127.0.0.1:8080", server.url).replace("ADwAAA==", whole)
        answered = subprocess.run(
            ["bash", "-euc", f"{command} -w '\\n%{{http_code}}'"],
            env={"PATH": "/usr/bin:/bin", "KEY": KEY, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout
        body, _, status = answered.rpartition("\n")
        kept = recorded()[name]
        assert int(status) == kept["status"] == 200, f"{name}: {answered}"
        if isinstance(kept["body"], dict):
            assert json.loads(body).keys() == kept["body"].keys(), name
