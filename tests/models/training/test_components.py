"""The start of the straight path from the items' features: it keeps what tells items apart."""

from pathlib import Path

import numpy as np
import pytest
import torch

from common.arrays import F16, F32
from models.towers import Config, Towers, preset
from models.training import load_finished, train
from models.training.components import start_from_components

START = (0.2, 0.7, 0.1)


def _towers(width: int, **fusion: object) -> Towers:
    torch.manual_seed(0)
    changes = {"dimensions.embedding_dim": width, "fusion.gate_start": list(START)}
    config = preset("tiny").with_overrides(changes | {f"fusion.{key}": v for key, v in fusion.items()})
    return Towers(config, 100).eval()


def _features(items: int = 400) -> F16:
    """Unit features in which few directions tell most, and which share a mean."""
    rng = np.random.default_rng(1)
    drawn = rng.normal(size=(items, 3, 16)) * np.geomspace(1, 0.05, 16) + 0.3
    unit: F32 = drawn / np.linalg.norm(drawn, axis=2, keepdims=True)
    return unit.astype(np.float16)


def _cosines(towers: Towers, features: F16) -> F32:
    x = torch.from_numpy(features.astype(np.float32)).flatten(1)
    weights = towers.query_fusion.gate.out.bias.softmax(0) * 3
    with torch.no_grad():
        query = towers.query_fusion.dssm.straight(x * weights.repeat_interleave(16))
        item = towers.item_fusion.dssm.straight(x)
        found = torch.nn.functional.normalize(query) @ torch.nn.functional.normalize(item).T
    result: F32 = found.numpy()
    return result


def _whole(features: F16) -> F32:
    """The cosine of the experts side by side, each weighted as the gate begins."""
    found: F32 = np.einsum("e,ied,jed->ij", np.array(START), *2 * [features.astype(np.float32)])
    return found


def test_at_full_width_the_cosine_is_that_of_the_weighted_experts() -> None:
    towers, features = _towers(48), _features()
    start_from_components(towers, features, 0.0)
    assert np.abs(_cosines(towers, features) - _whole(features)).max() < 2e-3


def test_a_narrow_embedding_keeps_more_than_a_random_one() -> None:
    features = _features()
    drawn, started = _towers(8), _towers(8)
    start_from_components(started, features, 0.0)
    apart = ~np.eye(len(features), dtype=np.bool_)
    whole = _whole(features)[apart]
    kept = [np.corrcoef(_cosines(towers, features)[apart], whole)[0, 1] for towers in (drawn, started)]
    assert kept[0] < 0.5 < 0.7 < kept[1]


def test_whitening_makes_components_equally_loud() -> None:
    features = _features()
    loudest = []
    for whiten in (0.0, 0.5, 1.0):
        towers = _towers(32)
        start_from_components(towers, features, whiten)
        made = (
            towers.item_fusion.dssm.straight.weight
            @ torch.from_numpy(features.astype(np.float32)).flatten(1).T
        )
        deviations = made.detach().numpy().std(axis=1)
        loudest.append(deviations.max() / deviations.min())
    assert loudest[1] == pytest.approx(loudest[0] ** 0.5, rel=0.01)
    assert loudest[2] == pytest.approx(1.0, rel=0.01)


def test_fewer_items_than_dimensions_and_a_silent_expert() -> None:
    features = _features(5)
    features[:, 0] = 0
    towers = _towers(40)
    start_from_components(towers, features, 1.0)
    weight = towers.item_fusion.dssm.straight.weight
    assert bool(torch.isfinite(weight).all())
    assert np.linalg.norm(_cosines(towers, features).diagonal() - 1.0) < 1e-2


@pytest.mark.parametrize("start", ["random", "components"])
def test_a_run_that_takes_no_step_has_it(
    start: str, run: Path, shop_path: Path, config: Config, tmp_path: Path
) -> None:
    changed = config.with_overrides({"fusion.start": start, "stage1.steps": 0, "stage2.steps": 0})
    train(shop_path, tmp_path / "out", changed, donor=run)
    towers = load_finished(tmp_path / "out").towers
    query, item = (fusion.dssm.straight.weight for fusion in (towers.query_fusion, towers.item_fusion))
    assert torch.allclose(query, item)  # the gate begins with equal weights
    features = np.load(tmp_path / "out" / "item_features.npy", mmap_mode="r")[0]
    made = item @ torch.from_numpy(features.astype(np.float32)).flatten(1).T
    varied = np.cov(made.detach().numpy())
    beside = np.abs(varied - np.diag(varied.diagonal())).max() / varied.diagonal().max()
    assert (beside < 1e-3) == (start == "components")
