"""Trains the WordPiece tokenizer on a shop's own titles and queries, the same way every time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from artifacts.bundle.text import SPECIAL_TOKENS, normalise

#: Characters beyond this many become ``[UNK]``, the rarest first (*inferred*).
_ALPHABET = 1000


def train_tokenizer(texts: Iterable[str], size: int) -> Tokenizer:
    """A WordPiece tokenizer of at most ``size`` tokens from raw texts; special ids are the bundle's."""
    split = pre_tokenizers.BertPreTokenizer()
    words: Counter[str] = Counter()
    for text in texts:
        words.update(word for word, _ in split.pre_tokenize_str(normalise(text)))
    letters = Counter[str]()
    for word, count in words.items():
        for letter in word:
            letters[letter] += count
    alphabet = sorted(sorted(letters, key=lambda c: (-letters[c], c))[: min(_ALPHABET, size // 3)])
    # The trainer numbers what it meets in the order of a hash map, which differs from run to run, and
    # breaks ties by those numbers. Naming every start beforehand leaves nothing to that order.
    starts = [*SPECIAL_TOKENS, *alphabet, *(f"##{letter}" for letter in alphabet)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=starts, show_progress=False, limit_alphabet=len(alphabet)
    )
    learner = Tokenizer(models.WordPiece(unk_token=SPECIAL_TOKENS[1]))
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    learner.train_from_iterator(_repeat(words), trainer)
    tokenizer = Tokenizer(models.WordPiece(learner.get_vocab(), unk_token=SPECIAL_TOKENS[1]))
    tokenizer.pre_tokenizer = split
    return tokenizer


def _repeat(words: Counter[str]) -> Iterator[str]:
    """Each word as often as it was seen, in lines of bounded length."""
    for word in sorted(words):
        left = words[word]
        while left > 0:
            yield " ".join([word] * min(left, 1000))
            left -= 1000
