"""The pages of the clients: what they say runs against a service."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from devtools.pages import ROOT, blocks
from tests.support.clients import run_node
from tests.support.serving import Server

PYTHON, TYPESCRIPT = "client/python/README.md", "client/typescript/README.md"
HERE = "http://127.0.0.1:8080"


def test_python(server: Server) -> None:
    (install,), (snippet,) = blocks(PYTHON, "sh"), blocks(PYTHON, "python")
    folder = ROOT / install.split()[2]
    extras = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"numpy", "zstd"} <= set(extras)
    said = subprocess.run(
        [sys.executable, "-W", "error", "-c", _patient(snippet.replace(HERE, server.url))],
        env=os.environ | {"PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert said.returncode == 0, said.stderr
    items, columns, problem = said.stdout.splitlines()
    assert items.startswith("['i")
    assert columns.startswith("['i")
    assert problem.startswith("k Input should be")


def test_typescript(server: Server, typescript: Path) -> None:
    """Its first block is what made ``typescript``, and what runs its tests."""
    (commands,), (snippet,) = blocks(TYPESCRIPT, "sh"), blocks(TYPESCRIPT, "ts")
    assert [line.partition("  #")[0].rstrip() for line in commands.splitlines()] == [
        "npm ci && npm run build",
        f"MRSE_URL={HERE} npm test",
    ]
    script = _patient(snippet.replace(HERE, server.url)).replace('"mrse-client"', '"../dist/index.js"')
    (typescript / "test/page.test.mjs").write_text(script)
    said = run_node(typescript, "page")
    assert "k Input should be" in said
    assert "'i" in said


def _patient(snippet: str) -> str:
    """The time that a busy machine needs."""
    return re.sub(r"(timeout_ms=|timeoutMs: )200", r"\g<1>10_000", snippet)
