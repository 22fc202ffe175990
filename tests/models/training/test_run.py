"""A run's course: the same every time, the same after a kill, refused where it does not belong."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from artifacts.actions import ACTIONS
from artifacts.bundle import Bundle
from artifacts.shop.shop import Shop
from models.dataset.training_data import TrainingData
from models.embed import embed_shop
from models.towers import Config, Towers
from models.training import TrainError, load_finished, train
from models.training.augment import as_float, augment
from models.training.batches import Sampler
from models.training.curves import plot_curves
from models.training.features import PictureFeatures
from models.training.loop import Schedule
from models.training.picture_texts import PictureTexts


class KilledError(Exception):
    """Stands in for a kill."""


def killer(at_stage: str, at: int):  # type: ignore[no-untyped-def]
    def progress(stage: str, done: int, total: int | None) -> None:
        if stage == at_stage and done == at:
            raise KilledError

    return progress


def weights(run: Path) -> dict[str, torch.Tensor]:
    finished = load_finished(run)
    parts = {"towers": finished.towers, "image": finished.image_encoder}
    return {f"{part}.{name}": w for part, m in parts.items() for name, w in m.state_dict().items()}


def test_killed_again_and_again_a_run_ends_the_same(
    shop_path: Path, config: Config, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    # A checkpoint after every step, so that the step of the kill itself is lost and done again.
    often = config.with_overrides({"checkpoint_minutes": 0})
    for stage, step in (
        ("image", 3),
        ("image", 5),
        ("stage1", 7),
        ("stage1", 15),
        ("stage2", 4),
        ("stage2", 13),
    ):
        with pytest.raises(KilledError):
            train(shop_path, out, often, killer(stage, step))
    train(shop_path, out, often)
    expected, actual = weights(run), weights(out)
    assert expected.keys() == actual.keys()
    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    for curve in ("image", "stage1", "stage2"):
        assert (run / f"{curve}.csv").read_text() == (out / f"{curve}.csv").read_text()


def test_curves_have_the_rate_and_a_picture(run: Path, tmp_path: Path) -> None:
    for stage in ("image", "stage1", "stage2"):
        with (run / f"{stage}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert float(rows[-1]["rate"]) < float(rows[0]["rate"])
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert plot_curves(tmp_path) is None


def test_losses_fall(run: Path) -> None:
    with (run / "stage1.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["loss"]) < 0.95 * float(rows[0]["loss"])


def test_a_finished_run_is_not_trained_again(shop_path: Path, config: Config, run: Path) -> None:
    before = (run / "stage2.pt").stat().st_mtime_ns
    summary = train(shop_path, run, config)
    assert (run / "stage2.pt").stat().st_mtime_ns == before
    assert summary.items == 250
    assert "250 items" in str(summary)
    assert summary.as_dict()["positives"] == summary.positives > 0


def test_another_configuration_or_folder_is_refused(
    shop_path: Path, config: Config, run: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainError, match="another configuration"):
        train(shop_path, run, config.with_overrides({"seed": 8}))
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(TrainError, match="not empty"):
        train(shop_path, tmp_path, config, resume=False)
    assert (tmp_path / "letter.txt").exists()


def test_an_unfinished_run_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="no finished run"):
        load_finished(tmp_path)


@pytest.mark.parametrize(
    "overrides",
    [
        {"stage2.expert_rate": 0.1, "experts.share_text_experts": False},
        {"loss.logq": True, "loss.hard_after": 0, "loss.hard_ranks": [10, 60]},
        {"image.proxy_weight": 0, "loss.beta": 0},
    ],
)
def test_variants_train(
    shop_path: Path, config: Config, tmp_path: Path, overrides: dict[str, object]
) -> None:
    short = {"stage1.steps": 3, "stage2.steps": 4}
    train(shop_path, tmp_path / "run", config.with_overrides({**short, **overrides}))
    assert all(bool(w.isfinite().all()) for w in weights(tmp_path / "run").values())


@pytest.fixture(scope="module")
def data(run: Path, config: Config) -> TrainingData:
    return TrainingData(run / "data", config)


@pytest.fixture(scope="module")
def pictures(run: Path, data: TrainingData) -> PictureFeatures:
    asked = np.unique(np.asarray(data.picture)[np.asarray(data.picture) >= 0]).astype(np.int64)
    plain, views = (np.load(run / f"{n}.npy") for n in ("picture_features", "query_picture_features"))
    return PictureFeatures(plain, views, asked)


def test_batches_hold_every_kind_of_query(data: TrainingData, pictures: PictureFeatures) -> None:
    sampler = Sampler(data, pictures, data.config.stage2, browse=True)
    steps = [sampler.draw(64, np.random.default_rng(seed)) for seed in range(20)]
    text = np.concatenate([s.queries.has_text for s in steps])
    picture = np.concatenate([s.queries.has_picture for s in steps]) > 0
    behaved = np.concatenate([s.histories.behaviour.any(axis=1) for s in steps if s.histories])
    for kind in (text & ~picture, picture & ~text, ~text & ~picture & behaved, text & behaved):
        assert kind.any()
    # Rows that say nothing are rare and do not count; none became one by being emptied.
    said = np.concatenate([s.says for s in steps])
    np.testing.assert_array_equal(said, text | picture | behaved)
    assert said.mean() > 0.95
    assert max(int(s.histories.behaviour.max()) for s in steps if s.histories) <= len(ACTIONS.behaviours)


def test_stage1_has_no_browsing(data: TrainingData, pictures: PictureFeatures) -> None:
    step = Sampler(data, pictures, data.config.stage1, browse=False).draw(64, np.random.default_rng(0))
    assert step.histories is None
    assert (step.queries.has_text | (step.queries.has_picture > 0)).all()
    assert len(step.items) == 64
    assert len(step.uniform) == 32


def test_stage2_draws_as_many_uniform_items_as_told(
    run: Path, data: TrainingData, pictures: PictureFeatures
) -> None:
    config = data.config.with_overrides({"stage2.uniform": 3.0})
    more = TrainingData(run / "data", config)
    step = Sampler(more, pictures, more.config.stage2, browse=True).draw(64, np.random.default_rng(0))
    assert len(step.uniform) == 96


def test_words_that_titles_hold_weigh_less_in_the_picture_stage(data: TrainingData) -> None:
    shown = np.flatnonzero(data.item_picture >= 0)
    batches = PictureTexts(data, shown)
    told, even = batches.weights(shown, 0.1), batches.weights(shown, 1.0)
    named = batches.words(shown).sum(axis=0)
    assert even[named > 0] == pytest.approx(1.0)
    assert (told * named).sum() == pytest.approx(named.sum(), rel=1e-4)
    assert told[named > 0].max() > 1.0 > told[named > 0].min()


def test_what_training_left_embeds_as_the_graphs_do(
    shop: Shop, run: Path, bundle_path: Path, tmp_path: Path
) -> None:
    bundle = Bundle.load(bundle_path)
    known = np.load(run / "item_features.npy", mmap_mode="r")[0]
    embed_shop(shop, bundle, tmp_path / "graphs")
    embed_shop(shop, bundle, tmp_path / "known", known=known)
    for name in ("features.npy", "embeddings.npy"):
        one, other = (np.load(tmp_path / way / name).astype(np.float32) for way in ("graphs", "known"))
        np.testing.assert_allclose(one, other, atol=2e-3)


def test_schedule_warms_up_and_cools_down() -> None:
    schedule = Schedule(steps=100, rate=1.0, weight_decay=0.0, warmup=0.1)
    factors = [schedule.factor(step) for step in range(100)]
    assert factors[:10] == pytest.approx([n / 10 for n in range(1, 11)])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] < 0.01


def test_augmentation_keeps_range_and_white_borders(config: Config) -> None:
    white = torch.full((8, 32, 32, 3), 255, dtype=torch.uint8)
    strong = config.image.model_copy(update={"colour": 0.0, "hue": 0.0, "crop": 0.5, "rotate": 30.0})
    out = augment(as_float(white), strong, torch.Generator().manual_seed(0))
    torch.testing.assert_close(out, torch.ones_like(out))
    noise = torch.randint(0, 256, (8, 32, 32, 3), dtype=torch.uint8)
    bright = config.image.model_copy(update={"colour": 0.5, "hue": 0.2})
    first, second = (augment(as_float(noise), bright, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.min() >= -1
    assert first.max() <= 1


def test_a_shop_without_pictures_or_events_trains_on_its_titles(config: Config, tmp_path: Path) -> None:
    from artifacts.shop.schema import Item, ShopSchema
    from artifacts.shop.writer import ShopWriter

    with ShopWriter(tmp_path / "shop", ShopSchema("bare")) as writer:
        for number in range(40):
            writer.add_item(Item(f"i{number}", f"thing number {number}"))
    short = config.with_overrides({"stage1.steps": 2, "stage2.steps": 2})
    summary = train(tmp_path / "shop", tmp_path / "run", short)
    assert summary.positives == summary.pictures == 0
    assert isinstance(load_finished(tmp_path / "run").towers, Towers)
    assert Shop.open(tmp_path / "shop").count_items() == 40
