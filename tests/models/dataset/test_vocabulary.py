"""The tokenizer is trained the same way every time."""

from artifacts.bundle.text import SPECIAL_TOKENS
from models.dataset.vocabulary import train_tokenizer


def test_the_vocabulary_is_the_same_every_time_and_knows_frequent_words() -> None:
    texts = [
        f"{colour} {thing}" for colour in ("red", "blue", "green") for thing in ("mugs", "shoes", "lamps")
    ]
    first, second = train_tokenizer(texts, 90), train_tokenizer(texts, 90)
    assert first.to_str() == second.to_str()
    assert [first.token_to_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2, 3]
    assert first.encode("blue shoes").tokens == ["blue", "shoes"]
    assert first.get_vocab_size() <= 90
