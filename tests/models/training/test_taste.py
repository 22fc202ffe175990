"""The taste stage: it learns what users like from what they choose, and ends the same after a kill."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from artifacts.shop.schema import Event, Item, ShopSchema
from artifacts.shop.shop import Shop
from artifacts.shop.writer import ShopWriter
from common.progress import silent
from models.dataset.prepare import prepare
from models.dataset.training_data import TrainingData
from models.towers import Config, Towers, preset
from models.training import load_finished, train
from models.training.features import PictureFeatures
from models.training.run import Run, TrainStopped
from models.training.taste import train_taste
from tests.support.training_data import day

KNOBS = {
    "user.kind": "taste",
    "taste.dims": 8,
    "taste.words": 24,
    "taste.word_clicks": 2,
    "taste.steps": 150,
    "taste.batch": 64,
}
KINDS, COLOURS, MAKES = ("mug", "bowl", "lamp", "vase"), ("red", "blue", "green"), ("oak", "tin", "clay")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    """Users who search for kinds of things and, whatever the kind, take the colour that they like.

    What things are made of is asked for as well, and liked by nobody. The dear ones are the red ones.
    """
    folder, rng = tmp_path_factory.mktemp("planted"), np.random.default_rng(0)
    config = preset("tiny").with_overrides({**KNOBS, "dimensions.history": 8})
    items = [(k, c, m) for k in KINDS for c in COLOURS for m in MAKES]
    with ShopWriter(folder / "shop", ShopSchema("planted", {"price": "number"})) as writer:
        for kind, colour, make in items:
            price = {"price": {"red": 9.0, "blue": 2.0, "green": 1.0}[colour]}
            name, title = f"{kind}-{colour}-{make}", f"{colour} {make} {kind}"
            writer.add_item(Item(name, title, kind, attributes=price))
        for user in range(30):
            for visit in range(16):
                kind, colour, make = items[rng.integers(len(items))]
                asked = [kind, f"{colour} {kind}", f"{make} {kind}"][rng.integers(3)]
                if colour not in asked:
                    colour = COLOURS[user % 3]
                name = f"{kind}-{colour}-{make}"
                writer.add_event(
                    Event(day(visit * 2 + user / 99), name, "click", asked, f"u{user}", split="train")
                )
    prepare(Shop.open(folder / "shop"), folder / "data", config, silent)
    return TrainingData(folder / "data", config)


def fitted(data: TrainingData, folder: Path) -> tuple[Towers, np.ndarray]:
    """Tastes fitted over features that have each item's attributes side by side."""
    torch.manual_seed(0)
    towers = Towers(data.config, data.vocabulary)
    features = np.zeros((2, data.items, 3, data.config.dimensions.expert_dim), np.float16)
    values = [*KINDS, *COLOURS, *MAKES]
    for row in range(data.items):
        for word in data.title(row).split():
            features[:, row, values.index(word) % 3, values.index(word)] = 1.0
    folder.mkdir(exist_ok=True)
    pictures = PictureFeatures.none(0, data.config.picture.feature_dim)
    train_taste(Run(data, folder), towers, pictures, features)
    return towers.eval(), features


def test_a_user_likes_what_the_clicked_have_and_others_lack(planted: TrainingData, tmp_path: Path) -> None:
    towers, features = fitted(planted, tmp_path)
    taste, rows = towers.taste, {planted.title(row): row for row in range(planted.items)}
    assert taste is not None
    assert taste.on
    with torch.no_grad():
        likings = taste.likings(torch.from_numpy(features[0].astype(np.float32)).flatten(1))
    user = likings[rows["red oak mug"]] + likings[rows["red tin bowl"]]

    def gain(title: str) -> float:
        return float(user @ likings[rows[title]])

    # Red is liked in kinds that the user never clicked; oak, tin and the kinds that were clicked are not.
    assert gain("red clay vase") > 0.5 + max(gain("blue clay vase"), gain("green clay vase"))
    assert abs(gain("blue oak vase") - gain("blue clay vase")) < 0.25 * gain("red clay vase")
    assert gain("red clay vase") > 0.5 + gain("blue clay mug")
    assert sorted(p.name for p in tmp_path.glob("taste*.pt")) == ["taste.pt"]


def test_bands_are_words_too(planted: TrainingData, tmp_path: Path) -> None:
    towers, features = fitted(planted, tmp_path)
    assert towers.taste is not None
    with torch.no_grad():
        there = towers.taste.logits(torch.from_numpy(features[0].astype(np.float32)).flatten(1)) > 0
    dear = np.array(["red" in planted.title(row) for row in range(planted.items)])
    np.testing.assert_array_equal(there[:, -1].numpy(), dear)


def test_a_stopped_run_ends_the_same(shop_path: Path, config: Config, tmp_path: Path) -> None:
    short = config.with_overrides({**KNOBS, "taste.steps": 6, "stage1.steps": 3, "stage2.steps": 4})
    train(shop_path, tmp_path / "whole", short)
    for name in ("words", "likings", "answers"):
        seen = 0

        def stopping(name: str = name) -> bool:
            nonlocal seen
            done = (tmp_path / "stopped" / f"taste-{name}.csv").is_file()
            seen += done
            return done and seen == 3

        with pytest.raises(TrainStopped, match=f"taste-{name}"):
            train(shop_path, tmp_path / "stopped", short, stopping=stopping)
    train(shop_path, tmp_path / "stopped", short)
    one, other = (load_finished(tmp_path / name).towers.state_dict() for name in ("whole", "stopped"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    found = load_finished(tmp_path / "whole").towers.taste
    assert found is not None
    assert found.on
    assert found.read.weight.abs().max() > 0


def test_where_nobody_asked_tastes_say_nothing(planted: TrainingData, tmp_path: Path) -> None:
    quiet = TrainingData(planted.folder, planted.config.with_overrides({"taste.word_clicks": 10_000}))
    towers, _ = fitted(quiet, tmp_path)
    assert towers.taste is not None
    assert not towers.taste.read.weight.any()
    assert replace(Run(quiet, tmp_path), device="cpu").config is quiet.config
