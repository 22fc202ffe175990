"""From a run to a bundle: parity, int8, the same bytes, refusals; and its figures."""

import math
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import models.export.bundle as export_module
from artifacts.bundle import (
    Behaviour,
    Bundle,
    BundleError,
    ItemTower,
    PortraitBatch,
    QueryTower,
    build_portraits,
    open_graph,
)
from artifacts.bundle.manifest import ROLES
from artifacts.bundle.signatures import SIGNATURES
from models.evaluation import evaluate
from models.export.bundle import ExportError, export, write_bundle
from models.export.graphs import rounding, write_graph
from models.towers import Config, Towers, preset
from models.training import TrainError, load_finished

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SHARED = ("image_encoder.onnx", "query_experts.onnx", "query_fusion.onnx", "item_fusion.onnx")


@pytest.fixture
def known(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Graphs of this run, as files, that need not be exported once more: `bundle_path` has them.

    They are compared with torch all the same, so that a copy of anything else would be refused.
    """
    files: set[str] = set()

    def write(module: nn.Module, inputs: Any, outputs: Any, dynamic: Any, path: Path) -> None:
        if path.name in files:
            shutil.copyfile(bundle_path / path.name, path)
        else:
            write_graph(module, inputs, outputs, dynamic, path)

    monkeypatch.setattr(export_module, "write_graph", write)
    return files


def test_the_bundle_is_whole_and_computes_what_training_saw(bundle_path: Path) -> None:
    bundle = Bundle.load(bundle_path)
    manifest = bundle.manifest
    assert set(manifest.graphs) == set(ROLES)
    # Shared text experts: both roles are one file, stored once.
    assert manifest.graphs["query_experts"] == manifest.graphs["item_experts"]
    for role, files in manifest.graphs.items():
        for precision in files:
            graph = open_graph(bundle.graph(role, precision))
            bundle.check_canonical(role, graph, precision)
    assert manifest.parity["max_abs_diff_fp32"] <= 1e-5
    assert manifest.parity["min_cosine_int8"] >= 0.999
    assert "int8" in manifest.graphs["query_experts"]
    assert manifest.preprocessing == preset("tiny").data.preprocessing
    assert manifest.preprocessing.coclicks.top == preset("tiny").data.coclick_top


def test_axes_are_dynamic(bundle_path: Path) -> None:
    bundle = Bundle.load(bundle_path)
    dims = bundle.manifest.dimensions
    for precision in ("fp32", "int8"):
        tower = QueryTower(bundle, precision=precision)
        for queries in (["mug"], ["", "red running shoes with long laces", "a"], [""]):
            out = tower.experts(bundle.text.queries(queries))
            assert out.shape == (len(queries), 3, dims.expert_dim)
            assert np.isfinite(out).all()
    for rows, depth in ((1, 1), (3, 9)):
        portraits = PortraitBatch(
            np.zeros((rows, depth, 3, dims.expert_dim), dtype=np.float32),
            np.zeros((rows, depth), dtype=np.int64),
            np.zeros((rows, depth), dtype=np.float32),
        )
        out = tower.fuse(np.zeros((rows, 3, dims.expert_dim), dtype=np.float32), portraits)
        assert out.embedding.shape == (rows, dims.embedding_dim)
        assert out.gate.shape == (rows, 3)


def test_no_trace_of_the_machine(bundle_path: Path) -> None:
    for graph in bundle_path.glob("*.onnx"):
        content = graph.read_bytes()
        # A path, not three bytes of a weight that happen to read so.
        assert re.search(rb"[\w/]{4}\.py\b", content) is None
        assert str(Path.cwd()).encode() not in content


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes(run: Path, bundle_path: Path, tmp_path: Path) -> None:
    again = export(run, tmp_path, "tiny")
    assert again.name == bundle_path.name
    assert {p.name: p.read_bytes() for p in again.iterdir()} == {
        p.name: p.read_bytes() for p in bundle_path.iterdir()
    }
    assert [p.name for p in tmp_path.iterdir()] == [again.name]


def test_a_flipped_bit_is_refused(bundle_path: Path, tmp_path: Path) -> None:
    for file in sorted(bundle_path.iterdir()):
        copy = tmp_path / file.name / bundle_path.name
        shutil.copytree(bundle_path, copy)
        content = bytearray((copy / file.name).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / file.name).write_bytes(content)
        with pytest.raises(BundleError, match=file.name):
            Bundle.load(copy)


def test_graphs_that_differ_from_torch_are_not_shipped(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "PARITY", -1.0)
    monkeypatch.setattr(export_module, "PARITY_ROUNDINGS", -1.0)
    with pytest.raises(ExportError, match=r"image_encoder: feature is off torch's by .*at most"):
        export(run, tmp_path)
    assert not list(tmp_path.iterdir())


class Deep(nn.Module):
    """Pixels through many layers whose weights make float32 lose digits; features are even as always."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(3, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=1.15 / width**0.5)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = self.first(pixels.to(self.first.weight.dtype).mean(dim=(1, 2)) / 255.0)
        for layer in self.layers:
            x = x + torch.sin(layer(x))
        return self.norm(x)


def test_a_deep_network_may_be_off_by_what_float32_takes_from_it(
    run: Path, tmp_path: Path, known: set[str]
) -> None:
    known.update(SHARED[1:])
    finished = load_finished(run)
    width = finished.config.picture.feature_dim
    deep = replace(finished, image_encoder=Deep(width, 24))
    path = export_module.write_bundle(deep, tmp_path / "deep")
    parity = Bundle.load(path).manifest.parity["max_abs_diff_fp32"]
    # Beyond what is allowed of a shallow one, or this shows nothing.
    assert 1e-5 < parity < 1e-3
    Bundle.load(path).check_canonical("image_encoder", open_graph(Bundle.load(path).graph("image_encoder")))


def test_a_deep_network_that_is_exported_wrong_is_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = load_finished(run)
    deep = Deep(finished.config.picture.feature_dim, 24)
    wrong = Deep(finished.config.picture.feature_dim, 24)
    with torch.no_grad():
        wrong.layers[3].weight += 1e-4

    def write(module: nn.Module, *others: object) -> None:
        write_graph(wrong if module is deep else module, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(export_module, "write_graph", write)
    with pytest.raises(ExportError, match="image_encoder: feature is off"):
        export_module.write_bundle(replace(finished, image_encoder=deep), tmp_path / "wrong")


def test_what_float32_takes_is_known_of_every_graph(run: Path) -> None:
    finished = load_finished(run)
    bundle = {"image_encoder": finished.image_encoder, "query_experts": finished.towers.query_experts}
    config = finished.config
    sizes = {
        "B": 3,
        "L": 5,
        "W": 4,
        "G": 3,
        "S": config.picture.side,
        "C": 3,
        "P": config.picture.feature_dim,
    }
    rng = np.random.default_rng(0)
    for role, module in bundle.items():
        signature = SIGNATURES[role]  # type: ignore[index]
        inputs = {
            name: rng.integers(0, 3, [sizes[a] for a in tensor.axes]).astype(tensor.dtype)
            for name, tensor in signature.inputs.items()
        }
        found = rounding(module, inputs, list(signature.outputs))
        assert all(0 < off < 1e-4 for off in found.values())
        # What is measured is a copy.
        assert all(p.dtype == torch.float32 for p in module.parameters())


def test_int8_that_says_something_else_is_left_out(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: set[str]
) -> None:
    known.update(SHARED)
    monkeypatch.setattr(export_module, "INT8_COSINE", 1.5)
    path = export(run, tmp_path)
    manifest = Bundle.load(path).manifest
    assert set(manifest.graphs["query_experts"]) == {"fp32"}
    assert not list(path.glob("*int8*"))
    assert "min_cosine_int8" not in manifest.parity


def test_an_unfinished_run_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="no finished run"):
        export(tmp_path, tmp_path / "bundles")


def test_separate_text_experts_become_two_files(
    run: Path, config: Config, tmp_path: Path, known: set[str]
) -> None:
    known.update(SHARED)
    finished = load_finished(run)
    apart = config.with_overrides({"experts.share_text_experts": False})
    towers = Towers(apart, finished.tokenizer.get_vocab_size())
    # The items' experts are others; all else is the run's.
    for part in ("query_experts", "query_fusion", "item_fusion"):
        getattr(towers, part).load_state_dict(getattr(finished.towers, part).state_dict())
    path = export_module.write_bundle(replace(finished, towers=towers, config=apart), tmp_path)
    bundle = Bundle.load(path)
    assert bundle.manifest.graphs["item_experts"]["fp32"] == "item_experts.onnx"
    one, other = (path.joinpath(f"{side}_experts.onnx").read_bytes() for side in ("query", "item"))
    assert one != other
    bundle.check_canonical("item_experts", open_graph(bundle.graph("item_experts")))
    with pytest.raises(BundleError, match="comes as fp32, not as int8"):
        bundle.graph("item_experts", "int8")


def test_figures_by_kind_of_query(bundle_path: Path, shop_path: Path) -> None:
    evaluation = evaluate(bundle_path, shop_path, split="val", resamples=100)
    ours = evaluation.systems[0]
    wanted = {("text", ours), ("text", "without history"), ("text", "bm25"), ("browse", ours)}
    rows = {(row.slice, row.system): row.figures for row in evaluation.rows}
    assert wanted <= set(rows)
    assert rows["text", "bm25"]["Rele@10_p"].value > 0.05
    assert math.isnan(rows["browse", ours]["Rele@10_p"].value)


def test_a_residual_bundle_gives_pull_and_interests(
    run: Path, config: Config, tmp_path: Path, known: set[str]
) -> None:
    known.update(SHARED[:2])
    knobs = {"user.kind": "residual", "user.interests": 3, "user.item_buckets": 64, "fusion.popularity": True}
    own = config.with_overrides({**knobs, "data.one_slot": True})
    finished = load_finished(run)
    torch.manual_seed(0)
    towers = Towers(own, finished.tokenizer.get_vocab_size()).eval()
    towers.query_experts.load_state_dict(finished.towers.query_experts.state_dict())
    path = write_bundle(replace(finished, config=own, towers=towers), tmp_path, "residual")
    bundle = Bundle.load(path)
    assert bundle.manifest.preprocessing.one_slot
    tower, dims = QueryTower(bundle, check=True), own.dimensions
    assert tower.has_interests
    rng = np.random.default_rng(0)
    experts = rng.normal(size=(2, 3, dims.expert_dim)).astype(np.float32)
    features = [rng.normal(size=(n, 3, dims.expert_dim)).astype(np.float16) for n in (2, 0)]
    past = [[Behaviour("a", "click"), Behaviour("b", "order")], []]
    portraits = build_portraits(past, features, [NOW] * 2, experts=3, expert_dim=dims.expert_dim)
    found = tower.fuse(experts, portraits)
    assert found.pull is not None
    assert found.interests is not None
    assert found.pull[0] > 0 == found.pull[1]
    assert found.interests.shape == (2, 3, dims.embedding_dim)
    np.testing.assert_allclose(np.linalg.norm(found.interests, axis=2), 1.0, atol=1e-5)
    # The items themselves are read, not only their features.
    other = [[replace(b, item_id=b.item_id + "'") for b in row] for row in past]
    again = tower.fuse(
        experts, build_portraits(other, features, [NOW] * 2, experts=3, expert_dim=dims.expert_dim)
    )
    assert np.abs(again.embedding[0] - found.embedding[0]).max() > 1e-5
    np.testing.assert_array_equal(again.embedding[1], found.embedding[1])
    items = ItemTower(bundle, check=True)
    own_features = features[0]
    rare, clicked = (items.embeddings(own_features, None, np.full((2, 1), n, np.float32)) for n in (0.0, 2.0))
    np.testing.assert_array_equal(items.embeddings(own_features), rare)
    assert np.abs(rare - clicked).max() > 1e-4


def test_a_bundle_of_tastes_computes_what_torch_does_and_knows_the_unhistoried(
    run: Path, config: Config, tmp_path: Path, known: set[str]
) -> None:
    known.update(SHARED[:2])
    knobs = {"user.kind": "taste", "taste.dims": 8, "taste.words": 24, "taste.amount": 0.5}
    own = config.with_overrides(knobs)
    finished = load_finished(run)
    torch.manual_seed(0)
    towers = Towers(own, finished.tokenizer.get_vocab_size()).eval()
    towers.query_experts.load_state_dict(finished.towers.query_experts.state_dict())
    assert towers.taste is not None
    towers.taste.on = True
    with torch.no_grad():
        towers.taste.answers[2].bias.fill_(10.0)
    bundle = Bundle.load(write_bundle(replace(finished, config=own, towers=towers), tmp_path, "taste"))
    # What earlier versions of a service hand to a bundle is all that this one reads.
    tower, dims = QueryTower(bundle, check=True), own.dimensions
    assert not tower.has_interests
    rng = np.random.default_rng(0)
    experts = rng.normal(size=(2, 3, dims.expert_dim)).astype(np.float32)
    features = [rng.normal(size=(n, 3, dims.expert_dim)).astype(np.float16) for n in (2, 0)]
    past = [[Behaviour("a", "click"), Behaviour("b", "order")], []]
    found = tower.fuse(
        experts, build_portraits(past, features, [NOW] * 2, experts=3, expert_dim=dims.expert_dim)
    )
    assert found.pull is not None
    assert found.pull[0] > 0 == found.pull[1]
    vectors = ItemTower(bundle, check=True).embeddings(features[0])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert not found.embedding[1, own.words_dim :].any()
