"""``mrse doctor``: what is missing on this machine, and how to get it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

from cli.console import Json, out, print_json
from cli.extras import how_to_get
from common.errors import NOT_IN_ORDER

State = Literal["ok", "optional", "broken"]
_COLOURS: dict[State, str] = {"ok": "green", "optional": "yellow", "broken": "bold red"}


@dataclass(frozen=True)
class Finding:
    """One thing looked at. ``optional``: not there, and only what ``what`` names needs it."""

    what: str
    state: State
    found: str
    remedy: str = ""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    json: Json = False,
    gpu: Annotated[bool, typer.Option(help="Count a missing GPU runtime as broken.")] = False,
) -> None:
    """Look at this machine: what works, what is missing, how to get it. Exit code 1 if something is broken.

    Example: `mrse doctor --gpu`
    """
    findings = [finding for look in _LOOKS for finding in look(gpu)]
    broken = any(finding.state == "broken" for finding in findings)
    if json:
        print_json({"ok": not broken, "findings": [asdict(f) for f in findings]})
    else:
        table = Table("what", "state", "found", "how to get it")
        for finding in findings:
            state = Text(finding.state, style=_COLOURS[finding.state])
            table.add_row(finding.what, state, finding.found, finding.remedy)
        out.print(table)
    raise typer.Exit(NOT_IN_ORDER if broken else 0)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _python(gpu: bool) -> Iterator[Finding]:
    good = sys.version_info >= (3, 11)
    yield Finding(
        "Python 3.11+", "ok" if good else "broken", platform.python_version(), "" if good else "upgrade"
    )


def _onnxruntime(gpu: bool) -> Iterator[Finding]:
    cpu, cuda = _version("onnxruntime"), _version("onnxruntime-gpu")
    if cpu and cuda:
        yield Finding(
            "onnxruntime",
            "broken",
            f"onnxruntime {cpu} and onnxruntime-gpu {cuda}: they overwrite each other's files",
            "pip uninstall onnxruntime onnxruntime-gpu, then install one extra: cpu or gpu",
        )
        return
    if not cpu and not cuda:
        yield Finding("onnxruntime", "broken", "none", "install the cpu or the gpu extra")
        return
    from artifacts.bundle.graphs import available_providers

    providers = available_providers()
    yield Finding("onnxruntime", "ok", f"{'onnxruntime-gpu' if cuda else 'onnxruntime'} {cuda or cpu}")
    if "CUDAExecutionProvider" not in providers:
        yield Finding(
            "GPU", "broken" if gpu else "optional", "no CUDA provider", "install the gpu extra instead of cpu"
        )
    else:
        yield _cuda()


def _cuda() -> Finding:
    """Whether the CUDA provider really loads: onnxruntime falls back to the CPU without raising."""
    from artifacts.bundle import Bundle, open_graph

    bundle = _demo_bundle()
    if bundle is None:
        return Finding("GPU", "optional", "not tried: no demo bundle here", "")
    try:
        open_graph(Bundle.load(bundle).graph("query_fusion"), device="cuda")
    except Exception as error:  # whatever the driver or a library raises is the finding
        return Finding(
            "GPU", "broken", str(error)[:200], "needs an NVIDIA driver, CUDA and cuDNN (the gpu extra)"
        )
    return Finding("GPU", "ok", "CUDA provider runs")


def _demo_bundle() -> Path | None:
    from cli.demo_files import demo_bundle

    try:
        return demo_bundle()
    except FileNotFoundError:
        return None


def _bundle(gpu: bool) -> Iterator[Finding]:
    from artifacts.bundle import Bundle, BundleError
    from cli.demo_files import demo_bundle

    try:
        yield Finding("demo bundle", "ok", Bundle.load(demo_bundle()).version)
    except (BundleError, FileNotFoundError) as error:
        yield Finding("demo bundle", "broken", str(error), "install again, or `make bundle`")


def _libraries(gpu: bool) -> Iterator[Finding]:
    uses = {
        "faiss": ("broken", "the embedded index", "install mrse-recall again"),
        "torch": ("optional", "mrse train and mrse export", how_to_get("train")),
        "bm25s": ("optional", "BM25 beside ours in mrse evaluate", how_to_get("train")),
        "vespa": ("optional", "pyvespa, to deploy packages", how_to_get("vespa")),
    }
    for module, (missing, use, remedy) in uses.items():
        there = importlib.util.find_spec(module) is not None
        state: State = "ok" if there else "broken" if missing == "broken" else "optional"
        yield Finding(f"{module} ({use})", state, "found" if there else "none", "" if there else remedy)


def _redis(gpu: bool) -> Iterator[Finding]:
    url = os.environ.get("MRSE_REDIS_URL")
    if not url:
        yield Finding(
            "Redis (shared cache)",
            "optional",
            "MRSE_REDIS_URL is not set",
            "set it, as in redis://cache:6379/0",
        )
        return
    import redis

    try:
        redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=2).ping()
        yield Finding("Redis (shared cache)", "ok", "answers")
    except (redis.RedisError, ValueError) as error:
        # The error may quote the address, never the password.
        yield Finding(
            "Redis (shared cache)", "broken", type(error).__name__, "is MRSE_REDIS_URL right, Redis up?"
        )


def _programs(gpu: bool) -> Iterator[Finding]:
    wanted: dict[str, tuple[str, list[str]]] = {
        "java": ("17 or newer; Vespa's own code in make test-vespa", ["java", "-version"]),
        "mvn": ("make test-vespa", ["mvn", "-version"]),
        "docker": ("docker compose up", ["docker", "info", "--format", "{{.ServerVersion}}"]),
    }
    for program, (use, command) in wanted.items():
        found = _first_line(command) if shutil.which(program) else None
        remedy = "" if found else f"install {program} from your system's packages"
        yield Finding(f"{program} ({use})", "ok" if found else "optional", found or "none", remedy)


def _first_line(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = (done.stdout or done.stderr).strip().splitlines()
    # Maven colours its name even where nobody looks.
    return Text.from_ansi(lines[0]).plain if lines else None


_LOOKS: tuple[Callable[[bool], Iterator[Finding]], ...] = (
    _python,
    _onnxruntime,
    _libraries,
    _bundle,
    _redis,
    _programs,
)
