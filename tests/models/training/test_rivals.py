"""Rivals: clicks of others for the same want, for rows whose history is shown."""

import math

import numpy as np
import pytest
import torch

from artifacts.shop.schema import Event
from models.dataset.training_data import TrainingData
from models.training.batches import Batch, Sampler
from models.training.features import PictureFeatures
from models.training.rivals import RivalDraw, Rivals, choice
from tests.support.training_data import changed, day, training_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    """u and v click for one intent in two wordings, and so does somebody unknown; v alone asks for a cup."""
    events = [
        Event(day(0), "d", "click", "", "u", split="train"),
        Event(day(1), "a", "click", "blue mug", "u", split="train"),
        Event(day(2), "b", "click", "mugs blue", "v", split="train"),
        Event(day(3), "c", "click", "blue mug", "v", split="train"),
        Event(day(4), "a", "click", "blue mug", None, split="train"),
        Event(day(5), "d", "click", "cup", "v", split="train"),
    ]
    return training_data(tmp_path_factory.mktemp("rivals"), events)


def batches(data: TrainingData) -> list[Batch]:
    overrides = {"data.history_dropout": 0.0, "data.query_dropout": 0.0, "data.title_share": 0.2}
    pictures = PictureFeatures.none(0, data.config.picture.feature_dim)
    sampler = Sampler(changed(data, overrides), pictures, data.config.stage2, browse=True)
    return [sampler.draw(16, np.random.default_rng(seed)) for seed in range(20)]


def test_rivals_are_what_others_clicked_for_the_same_intent(data: TrainingData) -> None:
    rivals = Rivals(data)
    seen: dict[tuple[str, int], set[int]] = {}
    for drawn in batches(data):
        found = rivals.draw(drawn, 6, np.random.default_rng(1))
        assert found.items.shape == found.present.shape == (16, 6)
        for place, event in enumerate(drawn.wanted.events.tolist()):
            items = set(found.items[place, found.present[place]].tolist())
            if event < 0 or not drawn.remembered[place]:
                assert not items
                continue
            text = data.queries[int(drawn.queries.query[place])]
            seen.setdefault((text, int(drawn.items[place])), set()).update(items)
    # Rows: a, b, c, d = 0 to 3. u's first click on "blue mug" comes after a browse; v's clicks are no rivals
    # of each other, nor is the item itself, whoever clicked it; for "cup" there is nobody else.
    assert seen[("blue mug", 0)] == {1, 2}
    assert seen[("blue mug", 2)] == {0}
    assert seen[("cup", 3)] == set()
    assert not any(items for (text, _), items in seen.items() if text == "")


def test_the_choice_is_among_what_is_present() -> None:
    positive, rivals = torch.tensor([0.5, 0.5, 0.9]), torch.tensor([[0.0, 0.9], [0.9, 0.9], [0.9, 0.4]])
    present = torch.tensor([[True, False], [False, False], [True, True]])
    first = math.log(1 + math.exp(-5.0))
    third = math.log(1 + math.exp(0.0) + math.exp(-5.0))
    value = choice(positive, rivals, present, scale=10.0)
    torch.testing.assert_close(value, torch.tensor((first + third) / 2))
    assert choice(positive, rivals, torch.zeros_like(present), scale=10.0) == 0
    nobody = RivalDraw.none(3)
    assert choice(positive, rivals[:, :0], torch.from_numpy(nobody.present), scale=10.0) == 0
