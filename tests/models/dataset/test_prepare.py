"""TrainingData data: texts, histories cut off before a moment, positives, vocabulary, held-out rule."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.bundle import ItemText, TextFeatures
from artifacts.bundle.text import SPECIAL_TOKENS
from artifacts.shop.holdout import Holdout
from artifacts.shop.schema import Event, Item, ShopSchema
from artifacts.shop.shop import Shop
from artifacts.shop.writer import ShopWriter
from models.dataset.coclick import FOLLOWING, WINDOW_SECONDS, CoClicks, coclicked, count_pairs
from models.dataset.prepare import prepare
from models.dataset.text_store import TextStore, write_item_texts
from models.dataset.training_data import TrainingData
from models.dataset.vocabulary import train_tokenizer
from models.towers import Config, preset
from models.training.augment import typo
from models.training.hard import HardNegatives

START = datetime(2026, 1, 1, tzinfo=UTC)
TEXTS = ["Red running shoes", "Blue mug, striped", "Ünïcode tea-pot 500 ml", ""]


def quiet(stage: str, done: int, total: int | None) -> None:
    """Tell nobody."""


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def test_a_shop_without_behaviour_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for events in (0, 3):
        with ShopWriter(tmp_path / f"shop{events}", ShopSchema("small")) as writer:
            writer.add_item(Item("a", "title a", "Things"))
            for number in range(events):
                writer.add_event(Event(day(number), "a", "click", "mug", "u", split="test"))
        shop = Shop.open(tmp_path / f"shop{events}")
        prepare(shop, tmp_path / f"data{events}", preset("tiny"), quiet)
    first, second = caplog.messages
    assert "no events file: looked for events.parquet" in first
    assert "no click, cart or order to train on" in second
    assert all(said.endswith("; training learns nothing from behaviour") for said in (first, second))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    """Four items; user u goes a, b, a again, c; a label says that d does not answer "mug"."""
    folder = tmp_path_factory.mktemp("small")
    with ShopWriter(folder / "shop", ShopSchema("small")) as writer:
        for name in "abcd":
            writer.add_item(Item(name, f"title {name}", "Things"))
        for event in (
            Event(day(0), "a", "click", "mug", "u", split="train"),
            Event(day(1), "b", "order", "", "u", split="train"),
            Event(day(1.5), "a", "cart", "mug", "u", split="train"),
            Event(day(3), "c", "click", "cup", "u", split="train"),
            Event(day(3), "d", "impression", "mug", "u", relevance=0.1, split="train"),
            Event(day(3), "a", "impression", "mug", "u", relevance=0.2, split="train"),
            Event(day(4), "d", "impression", "cup", "u", split="train"),
            Event(day(5), "d", "click", "cup", None, split="val"),
            Event(day(6), "b", "click", "mug", None, split="train"),
        ):
            writer.add_event(event)
    config = preset("tiny").with_overrides({"dimensions.history": 2})
    prepare(Shop.open(folder / "shop"), folder / "data", config, quiet)
    return TrainingData(folder / "data", config)


def test_positives_are_the_behaviours_of_the_train_split(small: TrainingData) -> None:
    assert small.queries == ["", "mug", "cup"]
    assert np.asarray(small.item).tolist() == [0, 1, 0, 2, 1]
    assert np.asarray(small.query).tolist() == [1, 0, 1, 2, 1]
    assert np.asarray(small.user).tolist() == [0, 0, 0, 0, -1]
    assert small.title(2) == "title c"


def test_histories_are_before_the_event_newest_first_and_without_its_own_visit(small: TrainingData) -> None:
    found = small.histories(np.arange(5))
    assert found.items.tolist() == [[-1, -1], [0, -1], [1, 0], [0, 1], [-1, -1]]
    assert found.behaviour.tolist() == [[0, 0], [1, 0], [3, 1], [2, 3], [0, 0]]
    np.testing.assert_allclose(found.age_days[3], [1.5, 2.0])
    assert small.has_history().tolist() == [False, True, True, True, False]


def test_an_item_clicked_within_the_same_visit_is_cut(small: TrainingData) -> None:
    config = small.config.with_overrides({"data.same_item_days": 2})
    longer = TrainingData.__new__(TrainingData)
    longer.__dict__.update(small.__dict__, config=config)
    # The third event is on item a, which was clicked 1.5 days before.
    assert longer.histories(np.array([2])).items.tolist() == [[1, -1]]


def test_what_was_done_in_the_same_visit_is_cut(small: TrainingData) -> None:
    config = small.config.with_overrides({"data.visit_minutes": 1.6 * 24 * 60})
    longer = TrainingData.__new__(TrainingData)
    longer.__dict__.update(small.__dict__, config=config)
    # The fourth event: item a was carted 1.5 days before it; what came before that stays.
    assert longer.histories(np.array([3])).items.tolist() == [[1, 0]]


def test_a_browse_keeps_what_its_visit_showed(small: TrainingData) -> None:
    config = small.config.with_overrides({"data.visit_minutes": 100 * 24 * 60})
    longer = TrainingData.__new__(TrainingData)
    longer.__dict__.update(small.__dict__, config=config)
    # The second event has no query, so nothing but its history says what was wanted.
    assert longer.histories(np.array([1, 2])).items.tolist() == [[0, -1], [-1, -1]]


def test_known_positives(small: TrainingData) -> None:
    known = small.are_positive(np.array([1, 2, 0]), np.array([0, 1, 2, 3]))
    expected = [[True, True, False, False], [False, False, True, False], [False] * 4]
    assert known.tolist() == expected


def test_low_relevance_is_never_what_was_clicked(small: TrainingData) -> None:
    assert small.low_relevance(1).tolist() == [3]
    assert small.low_relevance(2).tolist() == []
    items, present = HardNegatives(small).draw(np.array([1, 2, 0]), 2, np.random.default_rng(0))
    assert items[0].tolist() == [3, 3]
    assert present.tolist() == [[True, True], [False, False], [False, False]]


def test_mined_negatives_come_from_the_ranks_and_are_no_positives(
    small: TrainingData, tmp_path: Path
) -> None:
    data = TrainingData.__new__(TrainingData)
    config = small.config.with_overrides({"loss.hard_ranks": [2, 4]})
    data.__dict__.update(small.__dict__, config=config)
    items = np.eye(4, dtype=np.float32)
    queries = np.array([[0] * 4, [0.1, 0.2, 0.9, 0.3], [0.4, 0.3, 0.2, 0.1]], dtype=np.float32)
    hard = HardNegatives(data)
    hard.mine(tmp_path / "hard.npy", queries, items)
    hard.load(tmp_path / "hard.npy")
    # "mug": ranks 2 to 4 are d, b, a, of which a and b were clicked. "cup": b, c, d without c.
    mined = np.load(tmp_path / "hard.npy")
    assert sorted(set(mined[1].tolist())) == [-1, 3]
    assert sorted(set(mined[2].tolist())) == [-1, 1, 3]
    drawn, present = hard.draw(np.array([2]), 8, np.random.default_rng(0))
    assert set(drawn[0].tolist()) == {1, 3}
    assert present.all()


@pytest.mark.parametrize(("share", "mined"), [(0.0, 0), (0.25, 2), (0.5, 4), (1.0, 8)])
def test_mined_negatives_and_labels_take_their_shares(
    small: TrainingData, tmp_path: Path, share: float, mined: int
) -> None:
    data = TrainingData.__new__(TrainingData)
    data.__dict__.update(small.__dict__, config=small.config.with_overrides({"loss.mined_share": share}))
    hard = HardNegatives(data)
    np.save(tmp_path / "hard.npy", np.array([[-1, -1], [2, -1], [1, 3]], dtype=np.int32))
    hard.load(tmp_path / "hard.npy")
    # "mug" has item d as its label and c as mined; "cup" has no label.
    drawn, present = hard.draw(np.array([1, 2]), 8, np.random.default_rng(0))
    assert present.all()
    assert sorted(drawn[0].tolist()) == [2] * mined + [3] * (8 - mined)
    assert set(drawn[1].tolist()) == {1, 3}


@given(st.lists(st.tuples(*[st.text(max_size=40)] * 3), min_size=1, max_size=6), st.data())
def test_the_store_gives_what_the_features_give(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]], data: st.DataObject
) -> None:
    text = TextFeatures(train_tokenizer(TEXTS, 120), preset("tiny").text)
    folder = tmp_path_factory.mktemp("texts")
    items = [ItemText(*row) for row in rows]
    write_item_texts(items, text, folder)
    chosen = data.draw(st.lists(st.integers(0, len(items) - 1), min_size=1, max_size=5))
    store = TextStore(folder)
    got, want = store.batch(np.array(chosen)), text.items([items[row] for row in chosen])
    assert len(store) == len(items)
    np.testing.assert_array_equal(got.input_ids, want.input_ids)
    np.testing.assert_array_equal(got.ngram_ids, want.ngram_ids)


def test_the_vocabulary_is_the_same_every_time_and_knows_frequent_words() -> None:
    texts = [
        f"{colour} {thing}" for colour in ("red", "blue", "green") for thing in ("mugs", "shoes", "lamps")
    ]
    first, second = train_tokenizer(texts, 90), train_tokenizer(texts, 90)
    assert first.to_str() == second.to_str()
    assert [first.token_to_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2, 3]
    assert first.encode("blue shoes").tokens == ["blue", "shoes"]
    assert first.get_vocab_size() <= 90


@given(st.text(min_size=1), st.integers(0, 1000))
def test_a_typo_changes_one_word_at_most(query: str, seed: int) -> None:
    slipped = typo(query, np.random.default_rng(seed))
    before, after = query.split(" "), slipped.split(" ")
    assert len(before) == len(after)
    assert sum(a != b for a, b in zip(before, after, strict=True)) <= 1
    assert len(slipped) - len(query) in (-1, 0, 1)


def events(count: int, split: str | None = None) -> list[Event]:
    return [Event(day(n), "i", "click", split=split) for n in range(count)]


def test_the_newest_are_held_out_where_nothing_is_marked() -> None:
    rows = events(100)
    holdout = Holdout.from_events(rows, 0.1)
    splits = [holdout.split(event) for event in rows]
    assert splits.count("val") == pytest.approx(10, abs=1)
    assert splits.count("test") == pytest.approx(10, abs=1)
    assert splits == sorted(splits, key=["train", "val", "test"].index)


def test_marks_of_the_file_come_first() -> None:
    rows = [*events(5), *events(2, "test")]
    holdout = Holdout.from_events(rows, 0.5)
    assert [holdout.split(event) for event in rows] == ["train"] * 5 + ["test"] * 2


def test_a_shop_without_events_holds_nothing_out() -> None:
    assert Holdout.from_events([]).split(Event(day(0), "i", "click")) == "train"


BEHAVIOURS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.floats(0, 2 * WINDOW_SECONDS)), max_size=25
)


@given(BEHAVIOURS, st.integers(1, 4), st.sampled_from([1, FOLLOWING, 200]))
def test_coclicks_are_what_counting_by_hand_gives(
    rows: list[tuple[int, int, float]], top: int, following: int
) -> None:
    columns = [np.array([row[c] for row in rows]) for c in range(3)]
    found = count_pairs(
        columns[0].astype(np.int64),
        columns[1].astype(np.int64),
        columns[2].astype(np.float64),
        6,
        top,
        following=following,
    )
    assert found.weights.tolist() == [1.0] * len(found.indices)
    counts = np.zeros((6, 6), dtype=int)
    ordered = sorted(rows, key=lambda row: (row[0], row[2], row[1]))
    for first, one in enumerate(ordered):
        for other in ordered[first + 1 : first + 1 + following]:
            near = one[0] == other[0] and other[2] - one[2] <= WINDOW_SECONDS and one[1] != other[1]
            counts[one[1], other[1]] += near
            counts[other[1], one[1]] += near
    for item in range(6):
        best = sorted(range(6), key=lambda other: (-counts[item, other], other))
        expected = [other for other in best if counts[item, other]][:top]
        assert found.indices[found.indptr[item] : found.indptr[item + 1]].tolist() == expected


def test_mean_features_of_coclicks() -> None:
    at = np.array([0.0, 1.0, 2.0])
    found = count_pairs(np.zeros(3, dtype=np.int64), np.array([0, 1, 2]), at, 4, 5)
    features = np.arange(4, dtype=np.float16).reshape(4, 1, 1)
    np.testing.assert_allclose(found.mean_features(features, 0, 4).ravel(), [1.5, 1.0, 0.5, 0.0])
    np.testing.assert_allclose(found.mean_features(features, 2, 4).ravel(), [0.5, 0.0])


def test_coclicks_by_cosine_prefer_what_is_not_bought_by_everybody() -> None:
    # Four baskets: item 0 is in each of them, 1 and 2 are in the first two and nowhere else, 3 in the third.
    baskets = [(0, 1, 2), (0, 1, 2), (0, 3), (0,)]
    user = np.repeat(np.arange(4), [len(b) for b in baskets])
    item = np.concatenate([np.array(b) for b in baskets])
    found = count_pairs(user, item, np.zeros(len(item)), 4, 1, cosine=True)
    # 1 goes with 2 at 2 / (sqrt 2 sqrt 2) = 1, with 0 at 2 / (sqrt 2 sqrt 4); counted, 0 and 2 are level.
    assert found.indices.tolist() == [1, 2, 1, 0]
    np.testing.assert_allclose(found.weights, [0.5**0.5, 1.0, 1.0, 0.5], rtol=1e-6)
    assert count_pairs(user, item, np.zeros(len(item)), 4, 1).indices.tolist() == [1, 0, 0, 0]


def test_weighted_mean_features_of_coclicks() -> None:
    coclicks = CoClicks(np.array([0, 2, 2]), np.array([0, 1]), np.array([3.0, 1.0], dtype=np.float32))
    features = np.array([1.0, 5.0], dtype=np.float16).reshape(2, 1, 1)
    np.testing.assert_allclose(coclicks.mean_features(features, 0, 2).ravel(), [2.0, 0.0])


def test_coclicks_leave_held_out_events_alone(shop: Shop, config: Config) -> None:
    found = coclicked(shop, top=5)
    rows = {item.id: row for row, item in enumerate(shop.items())}
    train = {rows[e.item] for e in shop.events() if e.split == "train" and e.action != "impression"}
    assert len(found.indptr) == len(rows) + 1
    assert len(found.indices) > 0
    assert set(found.indices.tolist()) <= train
    assert np.diff(found.indptr).max() <= 5
