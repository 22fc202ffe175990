from collections import Counter

from models.evaluation.slices import bands


def test_bands_by_hand() -> None:
    counts = Counter({"a": 4, "b": 2, "c": 2, "d": 1, "e": 1})
    assert bands(counts) == {"a": "head", "b": "head", "c": "torso", "d": "tail", "e": "tail"}
    assert bands(Counter()) == {}
