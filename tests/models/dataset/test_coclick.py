"""Co-clicks against counting by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from artifacts.bundle.manifest import CoClickSpec, Preprocessing
from artifacts.shop.shop import Shop
from models.dataset.coclick import WINDOW_SECONDS, CoClicks, coclicked_as_trained, count_pairs
from models.towers import Config

COUNTED = CoClickSpec(top=5, following=5, cosine=False)
BEHAVIOURS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.floats(0, 2 * WINDOW_SECONDS)), max_size=25
)


@given(BEHAVIOURS, st.integers(1, 4), st.sampled_from([1, 5, 200]))
def test_coclicks_are_what_counting_by_hand_gives(
    rows: list[tuple[int, int, float]], top: int, following: int
) -> None:
    columns = [np.array([row[c] for row in rows]) for c in range(3)]
    found = count_pairs(
        columns[0].astype(np.int64),
        columns[1].astype(np.int64),
        columns[2].astype(np.float64),
        6,
        CoClickSpec(top=top, following=following, cosine=False),
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
    found = count_pairs(np.zeros(3, dtype=np.int64), np.array([0, 1, 2]), at, 4, COUNTED)
    features = np.arange(4, dtype=np.float16).reshape(4, 1, 1)
    np.testing.assert_allclose(found.mean_features(features, 0, 4).ravel(), [1.5, 1.0, 0.5, 0.0])
    np.testing.assert_allclose(found.mean_features(features, 2, 4).ravel(), [0.5, 0.0])


def test_coclicks_by_cosine_prefer_what_is_not_bought_by_everybody() -> None:
    # Four baskets: item 0 is in each of them, 1 and 2 are in the first two and nowhere else, 3 in the third.
    baskets = [(0, 1, 2), (0, 1, 2), (0, 3), (0,)]
    user = np.repeat(np.arange(4), [len(b) for b in baskets])
    item = np.concatenate([np.array(b) for b in baskets])
    found = count_pairs(user, item, np.zeros(len(item)), 4, CoClickSpec(top=1, following=5, cosine=True))
    # 1 goes with 2 at 2 / (sqrt 2 sqrt 2) = 1, with 0 at 2 / (sqrt 2 sqrt 4); counted, 0 and 2 are level.
    assert found.indices.tolist() == [1, 2, 1, 0]
    np.testing.assert_allclose(found.weights, [0.5**0.5, 1.0, 1.0, 0.5], rtol=1e-6)
    counted = count_pairs(user, item, np.zeros(len(item)), 4, CoClickSpec(top=1, following=5, cosine=False))
    assert counted.indices.tolist() == [1, 0, 0, 0]


def test_weighted_mean_features_of_coclicks() -> None:
    weights = np.array([3.0, 1.0], dtype=np.float32)
    coclicks = CoClicks(np.array([0, 2, 2]), np.array([0, 1]), weights, np.array([3, 1]), np.array([6, 2]))
    features = np.array([1.0, 5.0], dtype=np.float16).reshape(2, 1, 1)
    np.testing.assert_allclose(coclicks.mean_features(features, 0, 2).ravel(), [2.0, 0.0])


def test_popularity_is_over_the_mean_of_the_catalogue() -> None:
    user, item = np.zeros(8, np.int64), np.array([0, 0, 0, 0, 0, 0, 1, 1])
    counted = count_pairs(user, item, np.arange(8.0), 4, COUNTED)
    assert counted.clicks.tolist() == [6, 2, 0, 0]
    found = counted.statistics(np.array([0, 1, 3]))
    np.testing.assert_allclose(found.ravel(), np.log1p([3.0, 1.0, 0.0]), rtol=1e-6)
    assert found.dtype == np.float32
    less = counted.statistics(np.array([1, 3]), np.array([1, 1]))
    np.testing.assert_allclose(less.ravel(), np.log1p([0.5, 0.0]), rtol=1e-6)
    assert count_pairs(user[:0], item[:0], np.zeros(0), 2, COUNTED).statistics(slice(0, 2)).tolist() == [
        [0],
        [0],
    ]


def test_coclicks_leave_held_out_events_alone(shop: Shop, config: Config) -> None:
    spec = Preprocessing(held_out=0.05, same_item_days=1.0, coclicks=COUNTED)
    found = coclicked_as_trained(shop, spec)
    rows = {item.id: row for row, item in enumerate(shop.items())}
    train = {rows[e.item] for e in shop.events() if e.split == "train" and e.action != "impression"}
    assert len(found.indptr) == len(rows) + 1
    assert len(found.indices) > 0
    assert set(found.indices.tolist()) <= train
    assert np.diff(found.indptr).max() <= 5


def test_pairs_that_were_seen_no_more_are_left_out() -> None:
    # Two users go 0, 1; one of them goes on to 2.
    user, item = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 1])
    found = count_pairs(user, item, np.arange(5.0), 3, COUNTED)
    assert found.seen[found.indptr[0] : found.indptr[1]].tolist() == [2, 1]
    for cosine, weight in ((False, 1.0), (True, 0.5)):
        near, weights = found.without(0, np.array([1, 2]), np.array([1, 1]), cosine=cosine)
        assert near.tolist() == [1]
        assert weights.tolist() == [weight]
    near, _ = found.without(0, np.zeros(0, np.int64), np.zeros(0, np.int64), cosine=False)
    assert near.tolist() == [1, 2]


def test_production_counts_the_held_out_behaviours_too(shop: Shop) -> None:
    spec = Preprocessing(held_out=0.05, same_item_days=1.0, coclicks=COUNTED)
    some, every = (coclicked_as_trained(shop, spec, which) for which in ("train", "all"))
    assert int(every.seen.sum()) > int(some.seen.sum())
