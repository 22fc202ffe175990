"""The best rows for some words, against sums over all rows."""

from __future__ import annotations

import bm25s
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.words import Tokeniser
from index.embedded.bm25 import K1, B, Posting, best_rows
from index.embedded.words import WordCounter, WordTable

ROWS = 200


@st.composite
def drawn(draw: st.DrawFn) -> tuple[list[Posting], np.ndarray]:
    """Words from rare and heavy to common and light, and what all rows add up to."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    postings, sums = [], np.zeros(ROWS, dtype=np.float32)
    for _ in range(draw(st.integers(1, 6))):
        rows = np.flatnonzero(rng.random(ROWS) < draw(st.sampled_from([0.02, 0.2, 0.9]))).astype(np.int32)
        if len(rows) == 0:
            continue
        # Few different scores, so that there are ties.
        scale = draw(st.sampled_from([0.25, 1.0, 8.0]))
        scores = (scale * rng.integers(1, 4, len(rows))).astype(np.float32)
        postings.append(Posting(rows, scores, float(scores.max())))
        sums[rows] += scores
    return postings, sums


@given(drawn(), st.integers(1, ROWS + 10), st.none() | st.integers(0, 100))
def test_the_best_rows_are_those_of_the_largest_sums(
    given_: tuple[list[Posting], np.ndarray], k: int, seed: int | None
) -> None:
    postings, expected = given_
    accepted = np.ones(ROWS, dtype=np.bool_)
    if seed is not None:
        accepted = np.random.default_rng(seed).random(ROWS) < 0.4
    accept = None if seed is None else lambda rows: np.flatnonzero(accepted[rows])
    sums = np.zeros(ROWS, dtype=np.float32)
    rows, scores = best_rows(postings, k, accept, sums)
    wanted = np.flatnonzero(accepted & (expected > 0))
    wanted = wanted[np.lexsort((wanted, -expected[wanted]))][:k]
    assert rows.tolist() == wanted.tolist()
    assert scores.tolist() == expected[wanted].tolist()
    assert not sums.any()


def test_a_search_that_is_stopped_leaves_nothing_behind() -> None:
    every = np.arange(ROWS, dtype=np.int32)
    postings = [Posting(every, np.ones(ROWS, np.float32), 1.0)] * 3
    sums, steps = np.zeros(ROWS, dtype=np.float32), iter([None, None])

    def step(rows: int) -> None:
        assert rows == ROWS
        next(steps)

    with pytest.raises(StopIteration):
        best_rows(postings, 5, None, sums, step)
    assert not sums.any()


def test_common_words_are_not_walked_where_rare_ones_decide() -> None:
    """Twenty words that every row has, beside one whose rows win: those are looked up, the rest is not."""
    rare = Posting(np.arange(50, 80, dtype=np.int32), np.full(30, 90, np.float32), 90.0)
    common = Posting(np.arange(ROWS, dtype=np.int32), np.full(ROWS, 0.1, np.float32), 0.1)
    sums = np.zeros(ROWS, dtype=np.float32)
    touched: list[int] = []

    class Watched(np.ndarray):
        def __setitem__(self, key, value) -> None:
            touched.append(len(np.atleast_1d(key)))
            super().__setitem__(key, value)

    rows, _ = best_rows([*[common] * 20, rare], 10, None, sums.view(Watched))
    assert rows.tolist() == list(range(50, 60))
    assert max(touched) == 30


@given(
    st.lists(st.text("ab cd1", max_size=12), min_size=1, max_size=30).filter(
        lambda texts: any(Tokeniser().words(text) for text in texts)
    )
)
def test_scores_are_those_of_bm25s(texts: list[str]) -> None:
    tokeniser = Tokeniser("english")
    counter = WordCounter(tokeniser, ["title"])
    for start in range(0, len(texts), 7):
        counter.add([{"title": text} for text in texts[start : start + 7]])
    table, mean = counter.table()
    words = [tokeniser.words(text) for text in texts]
    assert mean == pytest.approx(np.mean([len(each) for each in words]))
    peer = bm25s.BM25(method="lucene", k1=K1, b=B)
    peer.index(words, show_progress=False)
    for word in {word for each in words for word in each}:
        posting = table.posting(word)
        assert posting is not None
        found = np.zeros(len(texts), dtype=np.float32)
        found[posting.rows] = posting.scores
        np.testing.assert_allclose(found, (K1 + 1) * peer.get_scores([word]), rtol=1e-5)
        assert posting.top == posting.scores.max()
        assert table.found(word) == len(posting.rows)
    assert table.posting("zebra") is None


def test_a_table_is_what_was_written_and_damage_is_told(tmp_path) -> None:
    counter = WordCounter(Tokeniser(), ["title"])
    counter.add([{"title": "red shoes"}, {}, {"title": "red bag"}])
    table, _ = counter.table()
    table.write(tmp_path / "words")
    again = WordTable.open(tmp_path / "words")
    assert again.words.to_pylist() == ["bag", "red", "shoe"]
    assert again.rows.tolist() == [2, 0, 2, 0]
    again.check_rows(3)
    with pytest.raises(ValueError, match="beyond the 2"):
        again.check_rows(2)
    (tmp_path / "words").write_bytes(b"no table")
    with pytest.raises(ValueError, match="no words file"):
        WordTable.open(tmp_path / "words")


def test_items_without_a_word_make_an_empty_table(tmp_path) -> None:
    counter = WordCounter(Tokeniser(), ["title"])
    counter.add([{}, {"title": "—"}])
    table, mean = counter.table()
    table.write(tmp_path / "words")
    assert (mean, WordTable.open(tmp_path / "words").posting("a")) == (0.0, None)
