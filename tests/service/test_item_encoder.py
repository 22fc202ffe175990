"""The item encoder: an item that fails, fails alone; a model that fails is told as one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest

from artifacts.bundle import Bundle, ItemText, ItemTower
from service import item_encoder
from service.errors import ModelFailed, Overloaded
from service.item_encoder import EncodedItem, ItemEncoder
from service.settings import BundleSettings, Items
from tests.service.conftest import Demo

TEXTS = [(ItemText(f"red shoes {n}", "Shoes"), None) for n in range(5)]


class Watched:
    """An encoder, and what it told of runs that failed."""

    def __init__(self, demo: Demo, **knobs: Any) -> None:
        self.failures: list[str] = []
        self.encoder = ItemEncoder(demo.bundle, BundleSettings(), Items(**knobs), self.failures.append)


@pytest.fixture
async def watched(demo: Demo) -> AsyncIterator[Watched]:
    made = Watched(demo, max_batch=2)
    yield made
    made.encoder.close()


async def test_items_come_back_in_their_order_whatever_shares_a_run(watched: Watched) -> None:
    side = watched.encoder._bundle.manifest.picture.side
    red = np.full((side, side, 3), (220, 30, 30), np.uint8)
    jobs = [*TEXTS, (ItemText("", ""), red), (ItemText("red shoes 0", "Shoes"), red)]
    together = await watched.encoder.encode(jobs)
    for job, found in zip(jobs, together, strict=True):
        (alone,) = await watched.encoder.encode([job])
        assert isinstance(found, EncodedItem)
        assert isinstance(alone, EncodedItem)
        assert float(found.vector @ alone.vector) > 0.9999
        assert (found.picture is None) == (job[1] is None)
    assert watched.failures == []


async def test_an_item_of_which_the_model_gives_no_numbers_fails_alone(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watched.encoder.encode(TEXTS[:1])
    tower = watched.encoder._tower
    assert tower is not None
    whole = tower.features

    def broken(items: Any, pictures: Any = ()) -> Any:
        found = whole(items, pictures)
        found[["2" in item.title for item in items]] = np.nan
        return found

    with monkeypatch.context() as patch:
        patch.setattr(tower, "features", broken)
        found = await watched.encoder.encode(TEXTS)
        assert [isinstance(each, ModelFailed) for each in found] == [False, False, True, False, False]
        assert watched.failures == ["not_finite"]
        with pytest.raises(ModelFailed):
            await watched.encoder.encode(TEXTS[2:3])
    assert not any(isinstance(each, ModelFailed) for each in await watched.encoder.encode(TEXTS))


async def test_a_tower_that_does_not_open_is_left_alone_for_a_while(
    demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, tries = [0.0], []

    def counted(*args: Any, **kwargs: Any) -> ItemTower:
        tries.append(1)
        return ItemTower(*args, **kwargs)

    monkeypatch.setattr(item_encoder, "ItemTower", counted)
    folder = copytree(demo.bundle.path, tmp_path / "bundle")
    bundle = Bundle.load(folder)
    graph = bundle.graph("item_fusion")
    whole = graph.read_bytes()
    graph.write_bytes(b"no graph")
    encoder = ItemEncoder(bundle, BundleSettings(), Items(), lambda how: None, lambda: now[0])
    for _ in range(3):
        with pytest.raises(ModelFailed):
            await encoder.encode(TEXTS)
    assert len(tries) == 1
    graph.write_bytes(whole)
    now[0] = 31.0
    assert len(await encoder.encode(TEXTS)) == len(TEXTS)
    encoder.close()


async def test_a_closed_encoder_takes_nothing(demo: Demo) -> None:
    made = Watched(demo)
    made.encoder.close()
    with pytest.raises(Overloaded):
        await made.encoder.encode(TEXTS)
