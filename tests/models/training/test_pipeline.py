"""A run's course: the same every time, the same after a kill, refused where it does not belong."""

import csv
from pathlib import Path

import pytest
import torch

from artifacts.shop.shop import Shop
from models.towers import Config, Towers
from models.training import TrainError, load_finished, train
from models.training.run import TrainStopped


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
    shop_path: Path, config: Config, run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "killed"
    # Asked to stop, it saves the step that it is at, and says so; checkpoints are minutes apart here.
    asked = iter([False, True])
    with pytest.raises(TrainStopped, match=r"after step 2 of \d+ of image, which is saved in .*goes on"):
        train(shop_path, out, config, stopping=lambda: next(asked))
    caplog.set_level("INFO", "mrse.training")
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
    assert caplog.messages[0].startswith("image goes on after step 2 of ")
    summary = train(shop_path, out, often)
    assert list(summary.val) == ["recall@100"], "a run ends with what it came to, also without early stop"
    assert 0 < summary.val["recall@100"] <= 1
    assert summary.val == train(shop_path, out, often).val
    expected, actual = weights(run), weights(out)
    assert expected.keys() == actual.keys()
    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    for curve in ("image", "stage1", "stage2"):
        assert (run / f"{curve}.csv").read_text() == (out / f"{curve}.csv").read_text()


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


@pytest.mark.parametrize(
    "overrides",
    [
        {"stage2.expert_rate": 0.1, "experts.share_text_experts": False},
        {"loss.logq": True, "loss.hard_after": 0, "loss.hard_ranks": [10, 60]},
        {"image.proxy_weight": 0, "loss.beta": 0},
        {
            "user.kind": "residual",
            "user.interests": 3,
            "user.item_buckets": 64,
            "data.one_slot": True,
            "fusion.popularity": True,
        },
    ],
)
def test_variants_train(
    shop_path: Path, config: Config, tmp_path: Path, overrides: dict[str, object]
) -> None:
    short = {"stage1.steps": 3, "stage2.steps": 4}
    train(shop_path, tmp_path / "run", config.with_overrides({**short, **overrides}))
    assert all(bool(w.isfinite().all()) for w in weights(tmp_path / "run").values())


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
