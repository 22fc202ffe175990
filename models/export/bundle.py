"""``export``: a finished training run becomes a bundle, with parity checked on the shop's own inputs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import nn

from artifacts.actions import ACTIONS
from artifacts.bundle import Manifest, TextBatch, open_graph
from artifacts.bundle.manifest import (
    CANONICAL_NAME,
    MANIFEST_NAME,
    TOKENIZER_NAME,
    Precision,
    Role,
    file_entry,
)
from common.arrays import F32
from common.errors import NOT_IN_ORDER, MrseError
from models.export.graphs import INT8_CHOICES, Arrays, first_that, quantise, run_module, write_graph
from models.towers import Config, Towers
from models.training.run import Samples, load_finished

#: Largest absolute difference of fp32 ONNX outputs from torch's.
PARITY = 1e-5
#: Least cosine of int8 query embeddings to fp32 ones.
INT8_COSINE = 0.999
_CANONICAL_ROWS = 8


class ExportError(MrseError, ValueError):
    """The exported graphs do not compute what torch computes; the message says where and by how much."""

    exit_code = NOT_IN_ORDER


def export(run: Path, bundles: Path, name: str = "demo") -> Path:
    """Write the bundle of a finished run below ``bundles`` and return its folder.

    The same run gives the same bytes. The folder is named by the bundle's version.

    Raises:
        ExportError: parity is not met.
        TrainError: the run is not finished.
    """
    finished = load_finished(run)
    return write_bundle(
        finished.towers,
        finished.image_encoder,
        finished.tokenizer,
        finished.config,
        finished.samples,
        bundles,
        name=name,
        data=finished.data_fingerprint,
    )


def write_bundle(
    towers: Towers,
    image_encoder: nn.Module,
    tokenizer: Tokenizer,
    config: Config,
    samples: Samples,
    bundles: Path,
    *,
    name: str = "demo",
    data: str = "",
    metrics: dict[str, float] | None = None,
) -> Path:
    """Export modules in memory to ``bundles/<version>/``; see `export`."""
    bundles.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".export-", dir=bundles))
    threads = torch.get_num_threads()
    # One thread: torch's own sums then do not depend on the machine's cores.
    torch.set_num_threads(1)
    try:
        writer = _Writer(work, towers, image_encoder, samples)
        writer.write()
        (work / TOKENIZER_NAME).write_text(tokenizer.to_str(pretty=False), encoding="utf-8")
        np.savez(work / CANONICAL_NAME, allow_pickle=False, **writer.canonical)
        training: dict[str, Any] = config.model_dump(mode="json", exclude={"text", "picture", "dimensions"})
        # What embedding the catalogue has to do as training did.
        training |= {"coclick_top": config.data.coclick_top, "held_out": config.data.held_out}
        training |= {"coclick_following": config.data.coclick_following}
        training |= {"coclick_cosine": config.data.coclick_cosine}
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
            training=training,
            data=data,
            metrics=metrics or {},
        ).versioned()
        (work / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
        target = bundles / manifest.version
        if target.exists():
            shutil.rmtree(target)
        work.chmod(0o755)
        work.rename(target)
        return target
    finally:
        torch.set_num_threads(threads)
        shutil.rmtree(work, ignore_errors=True)


class _Writer:
    """Exports the graphs one after the other; each one's outputs are the next one's inputs."""

    def __init__(
        self,
        work: Path,
        towers: Towers,
        image_encoder: nn.Module,
        samples: Samples,
    ) -> None:
        self.work, self.towers, self.image_encoder = work, towers, image_encoder
        self.samples = samples
        self.graphs: dict[Role, dict[Precision, str]] = {}
        self.parity: dict[str, float] = {}
        self.canonical: dict[str, Any] = {}

    def write(self) -> None:
        pixels: Arrays = {"pixels": self.samples.pictures}
        features = self._graph("image_encoder", self.image_encoder, pixels, ["feature"], {"pixels": {0: "B"}})
        pictures = features["feature"]
        axes = {
            "input_ids": {0: "B", 1: "L"},
            "ngram_ids": {0: "B", 1: "W", 2: "G"},
            "picture": {0: "B"},
            "has_picture": {0: "B"},
        }
        # Every third query carries a picture, every fourth item has none.
        queries = _expert_inputs(self.samples.queries, pictures, lambda r: r % 3 == 0)
        items = _expert_inputs(self.samples.items, pictures, lambda r: r % 4 != 3)
        asked = self._graph("query_experts", self.towers.query_experts, queries, ["experts"], axes)["experts"]
        if self.towers.shared:
            self._measure("item_experts", self.towers.item_experts, items, ["experts"], "query_experts")
            self.graphs["item_experts"] = self.graphs["query_experts"]
            item_experts = run_module(self.towers.item_experts, items, ["experts"])["experts"]
        else:
            item_experts = self._graph("item_experts", self.towers.item_experts, items, ["experts"], axes)[
                "experts"
            ]
        portraits = self._portraits(asked, item_experts)
        history = {0: "B", 1: "K"}
        query_axes = {"experts": {0: "B"}, "portrait": history, "behaviour": history, "age_days": history}
        names = ["embedding", "gate"]
        self._graph("query_fusion", self.towers.query_fusion, portraits, names, query_axes)
        coclick = np.roll(item_experts, 1, axis=0) * (np.arange(len(item_experts)) % 2)[:, None, None]
        item_inputs: Arrays = {"features": item_experts, "coclick": coclick.astype(np.float32)}
        item_axes = {"features": {0: "B"}, "coclick": {0: "B"}}
        self._graph("item_fusion", self.towers.item_fusion, item_inputs, ["embedding"], item_axes)
        self._int8(queries, portraits)

    def _graph(
        self,
        role: Role,
        module: nn.Module,
        inputs: Arrays,
        outputs: list[str],
        axes: dict[str, dict[int, str]],
    ) -> dict[str, F32]:
        file = f"{role}.onnx"
        # The exporter takes an axis of 1 for a constant, so the example has at least 2 everywhere.
        example = {key: _at_least_two(value, axes[key]) for key, value in inputs.items()}
        write_graph(module, example, outputs, axes, self.work / file)
        self.graphs[role] = {"fp32": file}
        return self._measure(role, module, inputs, outputs, role)

    def _measure(
        self, role: Role, module: nn.Module, inputs: Arrays, outputs: list[str], file: str
    ) -> dict[str, F32]:
        expected = run_module(module, inputs, outputs)
        actual = open_graph(self.work / f"{file}.onnx").run(inputs)
        for name, want in expected.items():
            worst = float(np.abs(actual[name] - want).max(initial=0.0))
            if not worst <= PARITY:
                raise ExportError(
                    f"{role}: {name} is off torch's by {worst:.2g}, at most {PARITY:g} is allowed"
                )
            self.parity["max_abs_diff_fp32"] = max(worst, self.parity.get("max_abs_diff_fp32", 0.0))
        few = {key: value[:_CANONICAL_ROWS] for key, value in inputs.items()}
        for key, value in few.items():
            self.canonical[f"{role}/in/{key}"] = value
        for key, value in run_module(module, few, outputs).items():
            self.canonical[f"{role}/out/{key}"] = value
        return expected

    def _portraits(self, asked: F32, item_experts: F32) -> Arrays:
        rows = np.resize(self.samples.histories, (len(asked), self.samples.histories.shape[1]))
        empty = rows < 0
        portrait = item_experts.astype(np.float16).astype(np.float32)[rows]
        portrait[empty] = 0.0
        place = np.arange(rows.size).reshape(rows.shape)
        behaviour = np.where(empty, 0, place % len(ACTIONS.behaviours) + 1).astype(np.int64)
        age = np.where(empty, 0.0, (place % 37) / 2.0).astype(np.float32)
        return {"experts": asked, "portrait": portrait, "behaviour": behaviour, "age_days": age}

    def _int8(self, queries: Arrays, portraits: Arrays) -> None:
        """Where it keeps the cosine; of the query side alone, for items are embedded offline in fp32."""
        fusion = open_graph(self.work / self.graphs["query_fusion"]["fp32"])
        want = fusion.run(portraits)["embedding"]
        source = self.work / self.graphs["query_experts"]["fp32"]
        target = self.work / "query_experts.int8.onnx"

        def cosine(operators: Sequence[str]) -> float:
            quantise(source, target, operators)
            experts = open_graph(target).run(queries)["experts"]
            got = fusion.run({**portraits, "experts": experts})["embedding"]
            return float((got * want).sum(axis=-1).min())

        try:
            self.parity["min_cosine_int8"] = first_that(INT8_CHOICES, cosine, INT8_COSINE)
        except ValueError:
            # Deeper models lose more by it. Serving takes fp32 where there is no int8.
            target.unlink()
            return
        self.graphs["query_experts"]["int8"] = target.name


def _expert_inputs(batch: TextBatch, pictures: F32, has: Any) -> Arrays:
    rows = len(batch.input_ids)
    flags = np.array([float(has(row)) for row in range(rows)], dtype=np.float32)
    features = np.resize(pictures, (rows, pictures.shape[1])) * flags[:, None]
    return {
        "input_ids": batch.input_ids,
        "ngram_ids": batch.ngram_ids,
        "picture": features.astype(np.float32),
        "has_picture": flags,
    }


def _at_least_two(array: npt.NDArray[np.generic], axes: dict[int, str]) -> npt.NDArray[np.generic]:
    for axis in axes:
        if array.shape[axis] < 2:
            array = np.concatenate([array, array], axis=axis)
    return array
