"""Text features: what training and serving agree on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.bundle import Bundle, ItemText
from artifacts.bundle.text import CLS, SEP, normalise, words
from tests.support import shop

texts = st.text(max_size=80)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return shop.bundle(tmp_path_factory.mktemp("bundle") / "b")


@given(texts)
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once


def test_normalised_forms() -> None:
    assert normalise("  Red\tＳＨＯＥＳ \n 42½") == "red shoes 421⁄2"
    assert words("red-running_shoes 42!") == ["red", "running", "shoes", "42"]


@given(st.lists(texts, min_size=1, max_size=6))
def test_a_row_does_not_depend_on_its_batch(bundle: Bundle, batch: list[str]) -> None:
    """Trimming to the longest row pads the others and does nothing else."""
    together = bundle.text.queries(batch)
    for row, text in enumerate(batch):
        alone = bundle.text.queries([text])
        length, (width, depth) = alone.input_ids.shape[1], alone.ngram_ids.shape[1:]
        np.testing.assert_array_equal(together.input_ids[row, :length], alone.input_ids[0])
        assert not together.input_ids[row, length:].any()
        np.testing.assert_array_equal(together.ngram_ids[row, :width, :depth], alone.ngram_ids[0])
        assert not together.ngram_ids[row, width:].any()


@given(st.lists(texts, min_size=1, max_size=4), texts, texts)
def test_shapes_stay_within_the_limits(bundle: Bundle, titles: list[str], category: str, more: str) -> None:
    spec = bundle.text.spec
    queries = bundle.text.queries(titles)
    items = bundle.text.items([ItemText(title, category, more) for title in titles])
    assert queries.input_ids.shape[1] <= spec.max_query_tokens
    assert queries.ngram_ids.shape[1] <= spec.max_query_words
    assert items.input_ids.shape[1] <= spec.max_item_tokens
    assert items.ngram_ids.shape[1] <= spec.max_item_words
    for batch in (queries, items):
        assert batch.ngram_ids.shape[2] <= spec.ngrams_per_word
        assert batch.ngram_ids.min() >= 0
        assert batch.ngram_ids.max() < spec.ngram_buckets
        assert (batch.input_ids[:, 0] == CLS).all()


def test_parts_of_an_item_are_closed_by_a_separator(bundle: Bundle) -> None:
    ids = bundle.text.items([ItemText("red cup", "Kitchen > Cups"), ItemText("red cup")]).input_ids
    assert (ids == SEP).sum(axis=1).tolist() == [2, 1]


def test_n_grams_are_the_same_in_every_process(bundle: Bundle) -> None:
    """Python's own hash is salted by process; these ids are baked into trained tables."""
    (grams,) = bundle.text.queries(["cup"]).ngram_ids[0]
    spec = bundle.text.spec
    assert spec.ngram_buckets == 512
    # FNV-1a of "<cup>", "<cu", "cup", "up>", "<cup", "cup>", modulo 511, plus 1
    assert grams.tolist() == [_bucket(gram) for gram in ("<cup>", "<cu", "cup", "up>", "<cup", "cup>")]


def _bucket(gram: str) -> int:
    value = 2166136261
    for byte in gram.encode():
        value = (value ^ byte) * 16777619 % 2**32
    return value % 511 + 1


def test_only_words_are_kept(bundle: Bundle) -> None:
    features = bundle.text
    before = features._known_word.cache_info().currsize
    long = "".join(chr(ord("a") + n % 26) for n in range(500))
    spec = features.spec
    framed = f"<{long}>"
    grams = [framed] + [framed[i : i + n] for n in range(spec.ngram_min, 9) for i in range(502 - n + 1)]
    assert features.ngrams([long]) == [features._hash_word(long)]
    assert len(features._hash_word(long)) == spec.ngrams_per_word == len(grams[: spec.ngrams_per_word])
    assert features._known_word.cache_info().currsize == before
    assert features.ngrams([long[:64]]) == [features._hash_word(long[:64])]
    assert features._known_word.cache_info().currsize == before + 1
