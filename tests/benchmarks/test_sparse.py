"""The sparse benchmark's own parts: its log of low relevance, its figures, and its steps."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from artifacts.shop.schema import Event
from artifacts.shop.shop import Shop
from benchmarks.sparse import DENSE, SPARSE, claims
from benchmarks.sparse_log import Pairs, ServedLog, draw_log
from benchmarks.sparse_measure import read_searches
from benchmarks.sparse_runs import ALONE, Arm, Point, steps_to
from common.progress import silent
from models.dataset.prepare import prepare
from models.dataset.training_data import TrainingData
from models.evaluation.answers import Answers
from models.evaluation.grades import JudgeGrades
from models.evaluation.measures import MEASURES
from models.evaluation.statistics import by_query
from models.synthetic import RELEVANT, Judge, make_shop
from models.towers import Towers, preset
from tests.support.training_data import training_data

ITEMS = 300


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shop, TrainingData, JudgeGrades]:
    folder = tmp_path_factory.mktemp("sparse")
    make_shop(folder / "shop", items=ITEMS, events=3000, seed=3)
    opened, config = Shop.open(folder / "shop"), preset("tiny")
    prepare(opened, folder / "data", config, silent)
    data = TrainingData(folder / "data", config)
    return opened, data, JudgeGrades(Judge.open(folder / "shop"), [item.id for item in opened.items()])


@pytest.fixture(scope="module")
def log(shop: tuple[Shop, TrainingData, JudgeGrades]) -> ServedLog:
    _, data, judge = shop
    rng = np.random.default_rng(0)
    found = [judge.catalogue_grades(query, None) for query in data.queries]
    noise = rng.random((len(found), ITEMS))
    top = np.argsort(
        [-row - (0 if grades is None else grades) for grades, row in zip(found, noise, strict=True)]
    )
    top = top[:, :50]
    return draw_log(data, judge, top, 7)


def test_labels_are_judged_and_no_pair_is_in_two_parts(
    shop: tuple[Shop, TrainingData, JudgeGrades], log: ServedLog
) -> None:
    _, data, judge = shop
    pairs = [set(zip(part.query.tolist(), part.item.tolist(), strict=True)) for part in log.low]
    assert all(pairs)
    assert len(set.union(*pairs)) == sum(map(len, pairs))
    for part, low in ((log.low[0], True), (log.relevant, False)):
        for query, item in zip(part.query[:50].tolist(), part.item[:50].tolist(), strict=True):
            grades = judge.catalogue_grades(data.queries[query], None)
            assert grades is not None
            assert (grades[item] < RELEVANT) == low
            assert not data.answer(np.array([query]), np.array([item])).any()


def test_a_share_of_the_labels_is_wrong(log: ServedLog) -> None:
    right, wrong = (
        set(zip(part.query.tolist(), part.item.tolist(), strict=True)) for part in (log.low[0], log.relevant)
    )
    count = len(log.low[0].query)
    for noise in (0.0, 0.1, 0.3):
        taught = log.taught(noise, 7)
        told = list(zip(taught.query.tolist(), taught.item.tolist(), strict=True))
        assert len(told) == count
        assert sum(pair in wrong for pair in told) == round(noise * count)
        assert sum(pair in right for pair in told) == count - round(noise * count)
        assert taught.grade.max() < RELEVANT


def test_labels_are_written_as_a_log_that_has_them_gives_them(tmp_path: Path) -> None:
    ts = datetime(2026, 1, 1, tzinfo=UTC)
    clicks = [
        Event(ts, "a", "click", "mug", "u", split="train"),
        Event(ts, "c", "click", "cup", split="train"),
    ]
    low = [Event(ts, item, "impression", query, relevance=0.2, split="train")
           for query, item in (("cup", "a"), ("mug", "d"), ("mug", "b"))]  # fmt: skip
    with_them = training_data(tmp_path / "with", [*clicks, *low])
    without = training_data(tmp_path / "without", clicks)
    rows = np.array([without.queries.index(query) for query in ("cup", "mug", "mug")])
    Pairs(rows, np.array([0, 3, 1]), np.full(3, 0.2, np.float32)).write(tmp_path / "without" / "data")
    for name in ("low_asked", "low_grade"):
        np.testing.assert_array_equal(
            np.load(tmp_path / "without" / "data" / f"{name}.npy"), with_them.column(name)
        )


def test_figures_are_those_of_the_measures(
    shop: tuple[Shop, TrainingData, JudgeGrades], log: ServedLog
) -> None:
    opened, data, judge = shop
    config = data.config
    towers = Towers(config, data.vocabulary)
    sizes = (ITEMS, len(config.dimensions.experts), config.dimensions.expert_dim)
    features = np.random.default_rng(1).standard_normal(sizes).astype(np.float16)
    searches = read_searches(opened, data, judge, "val", log.low[1], 200).by(data, towers, features)
    assert 0 < len(searches.held_out.requests) <= 200
    found = searches.measure(towers, features, features)
    top = searches.found(towers, features, features)[2]
    held_out = searches.held_out
    answers = Answers("", held_out, top, np.ones(len(top), np.bool_))
    wanted = by_query(MEASURES["R-prec@10"].values(answers), held_out.query, held_out.queries)
    assert searches.look(towers, features, features) == pytest.approx(wanted.value)
    assert found["R-prec@10"].value == pytest.approx(wanted.value)
    assert 0 <= found["AUC low"].value <= 1


def test_steps_lie_between_two_looks() -> None:
    looks = {0: 0.5, 10: 0.7, 20: 0.65, 30: 0.9}
    assert steps_to(looks, 0.5) == 0
    assert steps_to(looks, 0.6) == pytest.approx(5)
    assert steps_to(looks, 0.8) == pytest.approx(26)
    assert np.isnan(steps_to(looks, 0.95))


def test_a_step_sees_its_batch_and_uniform_items() -> None:
    assert SPARSE.seen == pytest.approx(256 / 200_000)
    assert DENSE.seen == pytest.approx(3 * 256 / 4_000)
    config = Point(1_000, 10_000, uniform=2.0, batch=64).config(9, Arm("", {"loss.margin": 0.1}))
    assert round(config.stage2.batch * config.loss.uniform_share * config.stage2.uniform) == 128
    assert (config.seed, config.stage1.uniform, config.loss.margin) == (9, 0.0, 0.1)


def test_claims_ask_for_more_and_for_less_steps() -> None:
    def arm(low: float, high: float, steps: list[float]) -> dict[str, object]:
        gain = {"value": (low + high) / 2, "low": low, "high": high}
        return {"gains": {"AUC low": gain, "R-prec@10": gain}, "steps": steps, "seeds": len(steps)}

    alone = arm(0, 0, [100.0, 120.0])
    good = {"arms": {ALONE.name: alone, "both": arm(0.01, 0.02, [50.0, 60.0])}}
    assert [claim.holds for claim in claims({"sparse": good, "dense": good, "20000": good})] == [True] * 5
    bad = {"arms": {ALONE.name: alone, "both": arm(-0.02, -0.01, [150.0, float("nan")])}}
    assert [claim.holds for claim in claims({"sparse": bad, "dense": bad})] == [False] * 5
