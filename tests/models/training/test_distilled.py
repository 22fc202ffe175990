"""A narrow start that follows the experts side by side, without clicks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from artifacts.shop.shop import Shop
from common.arrays import F32
from models.towers import Config, Towers
from models.training import TrainError, load_finished, train
from models.training.components import components

NARROW = {
    "dimensions.embedding_dim": 8,
    "stage1.steps": 4,
    "stage2.steps": 0,
    "distil.made_queries": 600,
    "distil.steps": 150,
    "distil.batch": 128,
    "distil.ema": 0.9,
}


def _changed(config: Config, **changes: object) -> Config:
    return config.with_overrides({**NARROW, "fusion.start": "distilled", **changes})


def _order(out: Path, shop: Shop) -> float:
    """How near the order of items is to that of all components, for queries that nobody made: the divergence
    of the shares that both give them, mean over the queries of val."""
    finished = load_finished(out)
    towers, config = finished.towers.eval(), finished.config
    texts = sorted({event.query for event in shop.events() if event.split == "val" and event.query})[:100]
    batch = _text(out, config, texts)
    features = np.load(out / "item_features.npy")[0]
    flat = torch.from_numpy(features.astype(np.float32)).flatten(1)
    with torch.no_grad():
        none = torch.zeros(len(texts), config.picture.feature_dim)
        asked = towers.query_experts(*batch, none, none[:, 0]).flatten(1)
        wide = torch.from_numpy(components(towers, features, 0.3, flat.shape[1]).astype(np.float32))
        aim = _cosines(asked @ wide.T, flat @ wide.T)
        count = towers.query_fusion.count  # equal weights of the gate, times how many there are: 1 each
        assert count == len(config.dimensions.experts)
        found = _cosines(towers.query_fusion.dssm.straight(asked), towers.item_fusion.dssm.straight(flat))
    shares, told = (torch.log_softmax(each / 0.04, dim=1) for each in (aim, found))
    return float((shares.exp() * (shares - told)).sum(1).mean())


def _text(out: Path, config: Config, texts: list[str]) -> list[torch.Tensor]:
    from models.dataset.training_data import TrainingData

    batch = TrainingData(out / "data", config).text.queries(texts)
    return [torch.from_numpy(each) for each in (batch.input_ids, batch.ngram_ids)]


def _cosines(queries: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(queries) @ torch.nn.functional.normalize(items).T


def _straight(out: Path) -> list[F32]:
    towers: Towers = load_finished(out).towers
    return [f.dssm.straight.weight.detach().numpy() for f in (towers.query_fusion, towers.item_fusion)]


@pytest.fixture(scope="module")
def distilled(run: Path, shop_path: Path, config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("distilled") / "out"
    train(shop_path, out, _changed(config), donor=run)
    return out


def test_it_orders_items_for_new_queries_more_as_the_wide_experts_than_components_do(
    distilled: Path, run: Path, shop_path: Path, config: Config, shop: Shop, tmp_path: Path
) -> None:
    other = _changed(config).with_overrides({"fusion.start": "components"})
    train(shop_path, tmp_path / "out", other, donor=run)
    assert _order(distilled, shop) < 0.8 * _order(tmp_path / "out", shop)


def test_both_towers_have_one_map_and_the_queries_are_let_go(distilled: Path) -> None:
    query, item = _straight(distilled)
    assert np.allclose(query, item)  # the gate begins with equal weights
    assert (distilled / "distil.csv").read_text().startswith("step,divergence")
    assert not (distilled / "distil_queries.npy").exists()


def test_no_click_is_read(
    distilled: Path, run: Path, shop_path: Path, config: Config, tmp_path: Path
) -> None:
    """Titles alone give the same map, whatever was clicked; the log's queries give another one."""
    alone = {"distil.log_queries": 0, "stage1.steps": 0}
    for name, data in (("one", {}), ("two", {"data.title_share": 0.5})):
        train(shop_path, tmp_path / name, _changed(config, **alone, **data))
    assert np.array_equal(_straight(tmp_path / "one")[1], _straight(tmp_path / "two")[1])
    train(shop_path, tmp_path / "log", _changed(config, **{"stage1.steps": 0}))
    assert not np.allclose(_straight(tmp_path / "one")[1], _straight(tmp_path / "log")[1])


def test_it_goes_on_where_it_was_stopped(
    distilled: Path, run: Path, shop_path: Path, config: Config, tmp_path: Path
) -> None:
    out, seen = tmp_path / "out", []

    def progress(stage: str, done: int, total: int | None) -> None:
        seen.append((stage, done))

    with pytest.raises(TrainError, match="after step 69 of 150 of distil"):
        train(shop_path, out, _changed(config), progress, donor=run, stopping=lambda: ("distil", 69) in seen)
    seen.clear()
    train(shop_path, out, _changed(config), progress, donor=run)
    assert min(done for stage, done in seen if stage == "distil") == 70
    assert np.array_equal(_straight(out)[0], _straight(distilled)[0])
    seen.clear()
    (out / "summary.json").unlink()
    train(shop_path, out, _changed(config), progress, donor=run)
    assert not [stage for stage, _ in seen if stage in ("distil", "made queries")]


def test_a_step_of_a_large_catalogue_ranks_some_items(
    distilled: Path, run: Path, shop_path: Path, config: Config, shop: Shop, tmp_path: Path
) -> None:
    few = _changed(config, **{"distil.items": 150})
    train(shop_path, tmp_path / "few", few, donor=run)
    assert not np.allclose(_straight(tmp_path / "few")[0], _straight(distilled)[0])
    assert _order(tmp_path / "few", shop) < 1.5 * _order(distilled, shop)
