"""Item texts as ids on disk."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.bundle import ItemText, TextFeatures
from models.dataset.text_store import TextStore, write_item_texts
from models.dataset.vocabulary import train_tokenizer
from models.towers import preset

TEXTS = ["Red running shoes", "Blue mug, striped", "Ünïcode tea-pot 500 ml", ""]


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
