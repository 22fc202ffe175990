"""From a run to a bundle: parity, int8, the same bytes, refusals; and its figures."""

import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import models.export.bundle as export_module
from artifacts.bundle import Bundle, BundleError, PortraitBatch, QueryTower, open_graph
from artifacts.bundle.manifest import ROLES
from models.evaluation import evaluate
from models.export.bundle import ExportError, export
from models.towers import Config, Towers, preset
from models.training import TrainError, load_finished


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
    with pytest.raises(ExportError, match=r"image_encoder: feature is off torch's by .*at most"):
        export(run, tmp_path)
    assert not list(tmp_path.iterdir())


def test_int8_that_says_something_else_is_left_out(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "INT8_COSINE", 1.5)
    path = export(run, tmp_path)
    manifest = Bundle.load(path).manifest
    assert set(manifest.graphs["query_experts"]) == {"fp32"}
    assert not list(path.glob("*int8*"))
    assert "min_cosine_int8" not in manifest.parity


def test_an_unfinished_run_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="no finished run"):
        export(tmp_path, tmp_path / "bundles")


@pytest.mark.slow
def test_separate_text_experts_become_two_files(run: Path, config: Config, tmp_path: Path) -> None:
    finished = load_finished(run)
    apart = config.with_overrides({"experts.share_text_experts": False})
    towers = Towers(apart, finished.tokenizer.get_vocab_size())
    path = export_module.write_bundle(replace(finished, towers=towers, config=apart), tmp_path)
    bundle = Bundle.load(path)
    assert bundle.manifest.graphs["item_experts"]["fp32"] == "item_experts.onnx"
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
