"""The bounded dictionary against a model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.lru import Lru

STEPS = st.lists(st.tuples(st.sampled_from(["get", "put", "wait"]), st.integers(0, 5)), max_size=60)


@given(entries=st.integers(0, 4), ttl=st.sampled_from([None, 3.0]), steps=STEPS)
def test_it_behaves_as_the_model(entries: int, ttl: float | None, steps: list[tuple[str, int]]) -> None:
    now = 0.0
    kept: Lru[int, int] = Lru(entries, ttl, lambda: now)
    model: list[tuple[int, int, float]] = []  # key, value, put at; the most recently used last
    for place, (step, key) in enumerate(steps):
        if step == "wait":
            now += key
        elif step == "put":
            kept.put(key, place)
            model = [row for row in model if row[0] != key]
            model = [*model, (key, place, now)][-entries:] if entries else []
        else:
            found = next((row for row in model if row[0] == key), None)
            model = [row for row in model if row[0] != key]
            if found is not None and (ttl is None or now < found[2] + ttl):
                model.append(found)
                assert kept.get(key) == found[1]
            else:
                assert kept.get(key) is None
        assert len(kept) == len(model)
    kept.clear()
    assert len(kept) == 0


def test_what_values_cost_is_counted() -> None:
    kept: Lru[str, int] = Lru(10, cost=lambda key, value: value)
    for key, value in (("a", 4), ("b", 4), ("a", 6), ("c", 1)):
        kept.put(key, value)
    assert [kept.get(key) for key in "abc"] == [6, None, 1]
    kept.put("b", 11)  # more than there is room for
    assert len(kept) == 0
    kept.put("a", 10)
    assert kept.get("a") == 10
