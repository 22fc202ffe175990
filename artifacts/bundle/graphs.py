"""Opens ONNX graphs, checks where they run, and runs them.

onnxruntime falls back to the CPU without raising even when CUDA alone is asked for, so the providers
of the opened session are checked, always.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.bundle.onnx_file import OnnxFileError, refuse_external_weights
from common.arrays import F32, Arrays
from common.errors import NOT_IN_ORDER, MrseError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class GraphError(MrseError, RuntimeError):
    """A graph cannot be opened, or does not run where it was asked to."""

    exit_code = NOT_IN_ORDER


class Graph:
    """One opened ONNX graph. `run` is thread-safe and releases the GIL."""

    def __init__(self, session: InferenceSession) -> None:
        self.session = session
        self.inputs: tuple[str, ...] = tuple(i.name for i in session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(o.name for o in session.get_outputs())

    def run(self, inputs: Arrays) -> dict[str, F32]:
        """All outputs by name for inputs by name."""
        values: Sequence[F32] = self.session.run(self.outputs, dict(inputs))
        return dict(zip(self.outputs, values, strict=True))


def available_providers() -> Sequence[str]:
    """What the installed onnxruntime can run on, such as ``CPUExecutionProvider``."""
    import onnxruntime as ort  # here, for what needs no graph needs no onnxruntime

    return list(ort.get_available_providers())


def open_graph(path: Path, *, device: str = "cpu", threads: int = 1) -> Graph:
    """Open an ``.onnx`` file on ``cpu`` or ``cuda``, to run with that many intra-op threads.

    Raises:
        GraphError: no such device here, or the file is no graph that stands alone.
    """
    import onnxruntime as ort

    provider = PROVIDERS.get(device)
    if provider is None:
        raise GraphError(f"unknown device {device!r}; choose one of {', '.join(PROVIDERS)}")
    if provider not in available_providers():
        raise GraphError(
            f"onnxruntime here has no {provider} (it has {', '.join(available_providers())}); "
            "`mrse doctor` tells what to install"
        )
    try:
        refuse_external_weights(path)
    except OnnxFileError as error:
        raise GraphError(f"{path} {error}") from None
    except OSError as error:
        raise GraphError(f"{path} cannot be read: {error.strerror}") from error
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:  # onnxruntime's own tree of exceptions has no common base
        raise GraphError(f"{path}: {error}") from error
    actual = session.get_providers()
    if not actual or actual[0] != provider:
        raise GraphError(f"{path.name} was to run on {provider} but runs on {', '.join(actual)}")
    return Graph(session)
