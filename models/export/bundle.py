"""``export``: a finished training run becomes a bundle, with parity checked on the shop's own inputs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from artifacts.actions import ACTIONS
from artifacts.bundle import Behaviour, Manifest, PortraitBatch, TextBatch, open_graph
from artifacts.bundle.loader import FP32_TOLERANCE
from artifacts.bundle.manifest import (
    CANONICAL_NAME,
    MANIFEST_NAME,
    TOKENIZER_NAME,
    Precision,
    Role,
    file_entry,
)
from artifacts.bundle.signatures import SIGNATURES, expert_inputs, named_inputs, query_fusion_inputs
from common.arrays import F32, Arrays
from common.errors import NOT_IN_ORDER, MrseError
from common.progress import Progress, silent
from models.export.graphs import INT8_CHOICES, quantise, rounding, run_module, write_graph, write_model
from models.towers.given_encoder import GivenEncoder
from models.training.finished import Finished, load_finished
from models.training.pretrained.onnx_encoder import OnnxEncoder, with_head
from models.training.run import torch_threads

#: Largest absolute difference of fp32 ONNX outputs from torch's; or this many times what float32 itself
#: takes from torch's outputs, which in deep networks is more.
PARITY = 1e-5
PARITY_ROUNDINGS = 4.0
#: Least cosine of int8 query embeddings to fp32 ones.
INT8_COSINE = 0.999
_CANONICAL_ROWS = 8


class ExportError(MrseError, ValueError):
    """The exported graphs do not compute what torch computes; the message says where and by how much."""

    exit_code = NOT_IN_ORDER


def export(run: Path, bundles: Path, name: str = "demo", progress: Progress = silent) -> Path:
    """Write the bundle of a finished run below ``bundles`` and return its folder.

    The same run gives the same bytes. The folder is named by the bundle's version. ``progress`` is told of
    graphs, each written, compared with torch and, where that is tried, made int8.

    Raises:
        ExportError: parity is not met.
        TrainError: the run is not finished.
    """
    return write_bundle(load_finished(run), bundles, name, progress)


def write_bundle(finished: Finished, bundles: Path, name: str = "demo", progress: Progress = silent) -> Path:
    """As `export`, from a run in memory."""
    config = finished.config
    bundles.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".export-", dir=bundles))
    try:
        # One thread: torch's own sums then do not depend on the machine's cores.
        with torch_threads(1):
            writer = _Writer(work, finished, progress)
            writer.write()
        (work / TOKENIZER_NAME).write_text(finished.tokenizer.to_str(pretty=False), encoding="utf-8")
        np.savez(work / CANONICAL_NAME, **writer.canonical)
        manifest = Manifest(
            name=name,
            version="",
            dimensions=config.dimensions,
            text=config.text,
            picture=config.picture,
            behaviours=ACTIONS.behaviours,
            files={path.name: file_entry(path) for path in sorted(work.iterdir())},
            graphs=writer.graphs,
            parity=writer.parity,
            preprocessing=config.data.preprocessing,
            training=config.model_dump(mode="json", exclude={"text", "picture", "dimensions"}),
            data=finished.data_fingerprint,
        ).versioned()
        (work / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
        target = bundles / manifest.version
        shutil.rmtree(target, ignore_errors=True)
        work.chmod(0o755)
        return work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


class _Writer:
    """Exports the graphs one after the other; each one's outputs are the next one's inputs."""

    def __init__(self, work: Path, finished: Finished, progress: Progress) -> None:
        self._progress, self._done = progress, 0
        self.work, self.towers, self.image_encoder = work, finished.towers, finished.image_encoder
        self.samples, self.width = finished.samples, finished.config.picture.feature_dim
        self.graphs: dict[Role, dict[Precision, str]] = {}
        self.parity: dict[str, float] = {}
        self.canonical: dict[str, Any] = {}

    def write(self) -> None:
        self._tell(0)
        pixels = named_inputs("image_encoder", self.samples.pictures)
        pictures = self._graph("image_encoder", self.image_encoder, pixels)["feature"]
        # Every third query carries a picture, every fourth item has none.
        queries = _expert_inputs(self.samples.queries, pictures, lambda r: r % 3 == 0)
        items = _expert_inputs(self.samples.items, pictures, lambda r: r % 4 != 3)
        asked = self._graph("query_experts", self.towers.query_experts, queries)["experts"]
        self.graphs["item_experts"] = self.graphs["query_experts"]
        run = self._measure if self.towers.shared else self._graph
        item_experts = run("item_experts", self.towers.item_experts, items)["experts"]
        portraits = self._portraits(asked, item_experts)
        fused = self._fused(asked, portraits)
        self._graph("query_fusion", self.towers.query_fusion, fused)
        coclick = np.roll(item_experts, 1, axis=0) * (np.arange(len(item_experts)) % 2)[:, None, None]
        clicked = [np.log1p(np.arange(len(coclick), dtype=np.float32) % 9)[:, None]]
        known = clicked if "statistics" in self.towers.item_fusion.inputs else []
        item_inputs = named_inputs("item_fusion", item_experts, coclick.astype(np.float32), *known)
        self._graph("item_fusion", self.towers.item_fusion, item_inputs)
        self._int8(queries, asked, portraits)

    def _graph(self, role: Role, module: nn.Module, inputs: Arrays) -> dict[str, F32]:
        file = f"{role}.onnx"
        axes = {name: tensor.dynamic for name, tensor in SIGNATURES[role].inputs.items()}
        # The exporter takes an axis of 1 for a constant, so the example has at least 2 everywhere.
        example = {name: _at_least_two(value, axes[name]) for name, value in inputs.items()}
        given = module.raw if isinstance(module, GivenEncoder) else None
        if isinstance(module, GivenEncoder) and isinstance(given, OnnxEncoder):
            head = (module.centre.numpy(), module.components.numpy())
            write_model(with_head(given.path, *head, self.width), self.work / file)
        else:
            write_graph(module, example, _outputs(role, module), axes, self.work / file)
        self.graphs[role] = {"fp32": file}
        self._tell(1)
        return self._measure(role, module, inputs)

    def _tell(self, more: int) -> None:
        """So many more pieces of work are done: graphs written, compared with torch, tried as int8."""
        self._done += more
        self._progress("graphs", self._done, self._pieces)

    @property
    def _pieces(self) -> int:
        written = 4 if self.towers.shared else 5
        return written + 5 + len(INT8_CHOICES)

    def _measure(self, role: Role, module: nn.Module, inputs: Arrays) -> dict[str, F32]:
        outputs = _outputs(role, module)
        expected = run_module(module, inputs, outputs)
        actual = open_graph(self.work / self.graphs[role]["fp32"]).run(inputs)
        for name, want in expected.items():
            worst = float(np.abs(actual[name] - want).max(initial=0.0))
            if not worst <= PARITY and not worst <= (most := self._most(module, inputs, outputs, name)):
                raise ExportError(
                    f"{role}: {name} is off torch's by {worst:.2g}, at most {most:.2g} is allowed"
                )
            self.parity["max_abs_diff_fp32"] = max(worst, self.parity.get("max_abs_diff_fp32", 0.0))
        few = {key: value[:_CANONICAL_ROWS] for key, value in inputs.items()}
        self.canonical |= {f"{role}/in/{key}": value for key, value in few.items()}
        given = run_module(module, few, outputs)
        self.canonical |= {f"{role}/out/{key}": value for key, value in given.items()}
        self._tell(1)
        return expected

    def _fused(self, asked: F32, portraits: PortraitBatch) -> Arrays:
        return query_fusion_inputs(asked, portraits, items="item" in self.towers.query_fusion.inputs)

    def _most(self, module: nn.Module, inputs: Arrays, outputs: list[str], name: str) -> float:
        """The difference that is allowed of a network that may be deep; at most what a service checks."""
        return min(max(PARITY, PARITY_ROUNDINGS * rounding(module, inputs, outputs)[name]), FP32_TOLERANCE)

    def _portraits(self, asked: F32, item_experts: F32) -> PortraitBatch:
        rows = np.resize(self.samples.histories, (len(asked), self.samples.histories.shape[1]))
        empty = rows < 0
        portrait = item_experts.astype(np.float16).astype(np.float32)[rows]
        portrait[empty] = 0.0
        place = np.arange(rows.size).reshape(rows.shape)
        behaviour = np.where(empty, 0, place % len(ACTIONS.behaviours) + 1).astype(np.int64)
        age = np.where(empty, 0.0, (place % 37) / 2.0).astype(np.float32)
        histories = [[Behaviour(f"item-{item}", "click") for item in row[row >= 0]] for row in rows]
        return PortraitBatch(portrait, behaviour, age, histories)

    def _int8(self, queries: Arrays, asked: F32, portraits: PortraitBatch) -> None:
        """The smallest int8 variant of the query experts that keeps the cosine, if there is one.

        Items are embedded offline in fp32.
        """
        fusion = open_graph(self.work / self.graphs["query_fusion"]["fp32"])
        want = fusion.run(self._fused(asked, portraits))["embedding"]
        target = self.work / "query_experts.int8.onnx"
        for place, operators in enumerate(INT8_CHOICES):
            self._tell(min(place, 1))
            quantise(self.work / self.graphs["query_experts"]["fp32"], target, operators)
            experts = open_graph(target).run(queries)["experts"]
            got = fusion.run(self._fused(experts, portraits))["embedding"]
            cosine = float((got * want).sum(axis=-1).min())
            if cosine >= INT8_COSINE:
                self.parity["min_cosine_int8"] = cosine
                self.graphs["query_experts"]["int8"] = target.name
                self._tell(len(INT8_CHOICES) - place)
                return
        # Deeper models lose more by it. Serving takes fp32 where there is no int8.
        target.unlink()
        self._tell(1)


def _outputs(role: Role, module: nn.Module) -> list[str]:
    """The outputs that a module gives, by name, in their order."""
    return list(getattr(module, "outputs", SIGNATURES[role].outputs))


def _expert_inputs(batch: TextBatch, pictures: F32, has: Callable[[int], bool]) -> Arrays:
    shown = [pictures[row % len(pictures)] if has(row) else None for row in range(len(batch.input_ids))]
    return expert_inputs(batch, shown, pictures.shape[1])


def _at_least_two(array: npt.NDArray[np.generic], axes: dict[int, str]) -> npt.NDArray[np.generic]:
    return np.tile(array, [2 if place in axes and n < 2 else 1 for place, n in enumerate(array.shape)])
