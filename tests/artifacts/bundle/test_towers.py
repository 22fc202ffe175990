from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from artifacts.bundle import Bundle, BundleError, ItemText, ItemTower, PortraitBatch, QueryTower, open_graph
from artifacts.bundle.manifest import CANONICAL_NAME, MANIFEST_NAME, ROLES, Manifest, file_entry
from artifacts.bundle.signatures import SIGNATURES, expert_inputs
from tests.support import shop
from tests.support.bundle import DIM, PICTURE, D


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return shop.bundle(tmp_path_factory.mktemp("bundle") / "b")


def test_the_signatures_are_those_of_the_graphs(bundle: Bundle) -> None:
    assert set(SIGNATURES) == set(ROLES)
    for role, signature in SIGNATURES.items():
        graph = open_graph(bundle.graph(role))
        left_out = signature.optional
        assert graph.inputs == tuple(name for name in signature.inputs if name not in left_out)
        assert graph.outputs == tuple(name for name in signature.outputs if name not in left_out)


def test_dynamic_axes() -> None:
    axes = {name: tensor.dynamic for name, tensor in SIGNATURES["query_experts"].inputs.items()}
    assert axes == {
        "input_ids": {0: "B", 1: "L"},
        "ngram_ids": {0: "B", 1: "W", 2: "G"},
        "picture": {0: "B"},
        "has_picture": {0: "B"},
    }


def test_a_query_alone_and_in_a_batch_is_the_same(bundle: Bundle) -> None:
    tower = QueryTower(bundle, check=True)
    queries = ["red running shoes", "", "blue cup for very long mornings"]
    together = tower.experts(bundle.text.queries(queries))
    assert together.shape == (3, 3, D)
    for query, expected in zip(queries, together, strict=True):
        np.testing.assert_allclose(tower.experts(bundle.text.queries([query]))[0], expected, atol=1e-6)
    rounded = tower.rounded_experts(bundle.text.queries(queries))
    np.testing.assert_array_equal(rounded, together.astype(np.float16))


def test_fusion_gives_unit_vectors_and_a_gate(bundle: Bundle) -> None:
    tower = QueryTower(bundle)
    experts = tower.rounded_experts(bundle.text.queries(["red cup"]))
    nobody = PortraitBatch(
        np.zeros((1, 1, 3, D), np.float32), np.zeros((1, 1), np.int64), np.zeros((1, 1), np.float32)
    )
    embedding, gate, pull, interests = tower.fuse(experts, nobody)
    assert pull is interests is None, "an older bundle gives none"
    assert not tower.has_interests
    assert embedding.shape == (1, DIM)
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)
    assert gate.shape == (1, 3)


def test_items_keep_their_order_whatever_their_length(bundle: Bundle) -> None:
    tower = ItemTower(bundle)
    rng = np.random.default_rng(3)
    words = ["red", "blue", "green", "black", "shoes", "boots", "jacket", "hat", "cup"]
    items = [ItemText(" ".join(rng.choice(words, rng.integers(1, 9)))) for _ in range(150)]
    pictures = [rng.normal(size=PICTURE).astype(np.float32) if n % 3 else None for n in range(150)]
    features = tower.features(items, pictures)
    for row in (0, 1, 77, 149):
        alone = tower.features([items[row]], [pictures[row]])[0]
        np.testing.assert_allclose(features[row], alone, atol=1e-6)
    assert tower.features([]).shape == (0, 3, D)


def test_rows_without_a_picture_say_so(bundle: Bundle) -> None:
    text = bundle.text.queries(["a", "b"])
    inputs = expert_inputs(text, [None, np.ones(PICTURE, np.float32)], PICTURE)
    np.testing.assert_array_equal(inputs["has_picture"], [0, 1])
    np.testing.assert_array_equal(inputs["picture"], [[0] * PICTURE, [1] * PICTURE])
    assert not np.any(expert_inputs(text, (), PICTURE)["has_picture"])


def test_co_clicked_items_move_an_embedding(bundle: Bundle) -> None:
    tower = ItemTower(bundle)
    features = tower.features([ItemText("red cup"), ItemText("wool hat")])
    np.testing.assert_array_equal(tower.embeddings(features), tower.embeddings(features, 0 * features))
    assert not np.allclose(tower.embeddings(features), tower.embeddings(features, features[::-1].copy()))


def test_outputs_that_are_off_are_found_when_asked(tmp_path: Path) -> None:
    whole = shop.bundle(tmp_path / "b")
    canonical = whole.path / CANONICAL_NAME
    with np.load(canonical) as stored:
        arrays = dict(stored)
    arrays["query_fusion/out/embedding"] = arrays["query_fusion/out/embedding"] + 1
    np.savez(canonical, **arrays)
    files = {**whole.manifest.files, CANONICAL_NAME: file_entry(canonical)}
    manifest: Manifest = whole.manifest.model_copy(update={"files": files}).versioned()
    (whole.path / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    bundle = Bundle.load(whole.path)
    QueryTower(bundle)
    ItemTower(bundle, check=True)
    with pytest.raises(BundleError, match=r"query_fusion .* is off the canonical output"):
        QueryTower(bundle, check=True)
