"""Writing graphs: what is read for it is read once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn
from torch.onnx._internal.exporter._registration import ONNXRegistry

from artifacts.bundle import open_graph
from models.export import graphs


def test_torchlib_is_read_once_for_all_graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, asked_for = ONNXRegistry.from_torchlib, list[dict[str, Any]]()

    def counted(**asked: Any) -> Any:
        asked_for.append(asked)
        return graphs._torchlib(read, **asked)  # once more only where no test has exported yet

    monkeypatch.setattr(ONNXRegistry, "from_torchlib", staticmethod(counted))
    example = {"rows": np.ones((2, 3), np.float32)}
    for width in (4, 5):
        path = tmp_path / f"{width}.onnx"
        graphs.write_graph(nn.Linear(3, width), example, ["out"], {"rows": {0: "B"}}, path)
        assert open_graph(path).run({"rows": np.ones((7, 3), np.float32)})["out"].shape == (7, width)
        assert ONNXRegistry.from_torchlib is counted, "torch is left as it was"
    assert asked_for == [{"opset_version": graphs.OPSET}]
