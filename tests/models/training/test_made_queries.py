"""Queries that are made of titles."""

import re
from collections.abc import Sequence

import numpy as np

from artifacts.bundle.text import normalise
from models.training.made_queries import made_queries

TITLES = [
    normalise(title)
    for title in (
        "Ocean Spray Diet Cranberry Juice Drink, 10.5 Ounce Bottle (Pack of 6)",
        "Men's Long-Sleeve T-Shirt, Navy Blue",
        "Logitech C925-e Webcam with HD Video and Built-In Stereo Microphones",
    )
]


def _made(count: int, titles: Sequence[str] = TITLES, seed: int = 0) -> tuple[list[str], list[int]]:
    return made_queries(titles, count, lambda place: (place + 1) % len(titles), np.random.default_rng(seed))


def test_words_are_those_of_titles_but_for_typing_errors() -> None:
    queries, sources = _made(500)
    assert len(queries) == len(set(queries)) == len(sources) == 500
    known = [set(re.findall(r"[^\s,()]+", title)) for title in TITLES]
    every = set.union(*known)
    wrong = sum(not set(query.split()) <= every for query in queries)
    assert 0.01 < wrong / len(queries) < 0.12
    assert {"10.5", "men's", "t-shirt", "c925-e"} <= {word for query in queries for word in query.split()}
    # Most are of one title, some of two.
    own = [set(query.split()) <= known[source] for query, source in zip(queries, sources, strict=True)]
    assert 0.4 < np.mean(own) < 0.9


def test_they_are_as_long_as_what_shoppers_type_and_begin_with_first_words() -> None:
    queries, sources = _made(500)
    lengths = [len(query.split()) for query in queries]
    assert 2.5 < np.mean(lengths) < 4.5
    assert max(lengths) <= 8
    first = [
        np.mean([word in query.split() for query, source in zip(queries, sources, strict=True) if not source])
        for word in ("ocean", "pack")
    ]
    assert first[0] > 1.5 * first[1]


def test_the_same_seed_gives_the_same_and_titles_give_no_more_than_they_have() -> None:
    assert _made(50) == _made(50)
    assert _made(50) != _made(50, seed=1)
    assert _made(50, ["mug", "!!"])[0] == ["mug"]
    assert _made(50, ["", "-"]) == ([], [])
    assert _made(50, []) == ([], [])
