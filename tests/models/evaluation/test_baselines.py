"""Popularity and ceilings: what stands beside the bundle."""

from pathlib import Path

import numpy as np
import pytest

from artifacts.shop.shop import Shop
from models.evaluation.baselines import CEILINGS, ceilings, count_clicks, popularity
from models.evaluation.grades import JudgeGrades, open_grades
from models.evaluation.heldout import HeldOut, read_requests
from models.evaluation.measures import score
from models.evaluation.slices import slice_requests
from tests.models.evaluation.requests import ROWS, Graded, request


def _held_out(shop: Shop) -> tuple[HeldOut, dict[str, int]]:
    rows = {item.id: row for row, item in enumerate(shop.items())}
    requests = read_requests(shop, "test", depth=5, held_out=0.05, same_item_days=1.0)
    return HeldOut.number(requests, rows, open_grades(shop, rows, "test", 0.05)), rows


def test_popularity_is_counted_in_the_train_split(shop_path: Path) -> None:
    shop = Shop.open(shop_path)
    held_out, rows = _held_out(shop)
    clicks = count_clicks(shop, rows, 0.05)
    train = [e for e in shop.events() if e.split == "train" and e.action != "impression"]
    assert clicks.sum() == len(train)
    top = popularity(held_out, clicks).top
    assert (np.diff(clicks[top[0]]) <= 0).all()
    assert (top == top[0]).all()


def test_ceilings_know_grades_and_the_last_one_tastes(shop_path: Path) -> None:
    shop = Shop.open(shop_path)
    held_out, rows = _held_out(shop)
    found = [score(answers) for answers in ceilings(held_out, count_clicks(shop, rows, 0.05))]
    assert tuple(each.answers.system for each in found) == CEILINGS
    asked = found[0].answers.answered
    assert asked.any()
    for each in found:
        # Nobody can place more relevant items than there are.
        assert each.sums("R-prec@10", asked).value == 1.0
        assert each.sums("nDCG@10", asked).value == 1.0
    grades = held_out.grades
    assert isinstance(grades, JudgeGrades)
    liked = [
        float(np.mean([grades.liking(r.event.user)[each.answers.top[place, :10]].mean()
                       for place, r in enumerate(held_out.requests) if r.event.user and asked[place]]))
        for each in found
    ]  # fmt: skip
    assert liked[2] > max(liked[:2])


def test_without_a_judge_there_is_no_ceiling() -> None:
    held_out = HeldOut.number([request("red", "a")], ROWS, Graded())
    assert list(ceilings(held_out, np.ones(4))) == []


def test_queries_are_unseen_narrow_or_broad(shop_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.evaluation.slices.NARROW", 3)  # the shop is small
    shop = Shop.open(shop_path)
    held_out, _ = _held_out(shop)
    masks = slice_requests(shop, held_out, 0.05)
    asked = {e.query.lower() for e in shop.events() if e.split == "train" and e.action != "impression"}
    for place in np.flatnonzero(masks["unseen queries"]).tolist():
        assert held_out.requests[place].event.query.lower() not in asked
    assert {"narrow", "broad"} <= masks.keys()
    assert not (masks["narrow"] & masks["broad"]).any()
    for name, few in (("narrow", True), ("broad", False)):
        grades = held_out.known_grades(int(np.flatnonzero(masks[name])[0]))
        assert grades is not None
        assert ((grades >= 0.5).sum() <= 3) == few
