"""Optional dependencies: which extra brings a module, and how to install it."""

from __future__ import annotations

from pathlib import Path

#: The extra of pyproject.toml that brings a module; the others come with every installation.
EXTRAS = {
    "onnxruntime": "cpu",
    "torch": "train",
    "safetensors": "train",
    "onnx": "train",
    "onnxscript": "train",
    "bm25s": "train",
    "matplotlib": "train",
    "opentelemetry": "tracing",
}


def how_to_get(extra: str) -> str:
    """The command that installs an extra: ``make dev`` in a checkout, pip's elsewhere."""
    checkout = Path(__file__).parents[1]
    if (checkout / "Makefile").is_file() and (checkout / "pyproject.toml").is_file():
        return "make dev"
    return f"pip install 'mrse-recall[{extra}]'"


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """What to install, in a line; None where the module that is missing is no extra's."""
    module = (error.name or "").partition(".")[0]
    if module not in EXTRAS:
        return None
    return f"this needs {module}, which is not installed; `{how_to_get(EXTRAS[module])}` installs it"
