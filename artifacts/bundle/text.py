"""Text features: normalise, tokenise, hash character n-grams. Used by training and serving alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple, NewType

import numpy as np
from tokenizers import Tokenizer

from artifacts.bundle.manifest import TextSpec
from common.arrays import I64

PAD, UNK, CLS, SEP = 0, 1, 2, 3
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")

_WORD = re.compile(r"[^\W_]+")
_FNV_OFFSET, _FNV_PRIME, _MASK32 = 0x811C9DC5, 0x01000193, 0xFFFFFFFF
#: Longer words are hashed each time: no language has them, and their memory would have no bound.
_LONGEST_KEPT = 64
#: Characters of a text that are read, so that a huge title costs no more than a long one.
_MAX_CHARACTERS = 2048
#: Words whose buckets are kept, the least used go first: about 1 kB each, and 50 µs to make anew.
_KEPT_WORDS = 20_000

#: Text as `normalise` makes it.
NormalText = NewType("NormalText", str)


class ItemText(NamedTuple):
    """The text of one item, in the order in which the item tower reads it."""

    title: str
    category: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class TextBatch:
    """Ids of a batch, trimmed to its longest member.

    ``input_ids`` int64 ``[B, L]``, 0 = padding; ``ngram_ids`` int64 ``[B, W, G]``, 0 = padding.
    """

    input_ids: I64
    ngram_ids: I64


def normalise(text: str) -> NormalText:
    """NFKC, lower case, single spaces. Idempotent; also the form that cache keys are made from."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text[:_MAX_CHARACTERS]).lower())
    return NormalText(" ".join(folded.split()))


def words(text: str) -> list[str]:
    """Runs of letters and digits of a normalised text."""
    return _WORD.findall(text)


def _fnv1a(data: bytes) -> int:
    value = _FNV_OFFSET
    for byte in data:
        value = ((value ^ byte) * _FNV_PRIME) & _MASK32
    return value


def special_ids(tokenizer: Tokenizer) -> tuple[int, ...]:
    """The ids that `SPECIAL_TOKENS` have in a tokenizer: 0 to 3 in our own, others in a pretrained one.

    Raises:
        ValueError: it has no such token, or another one than padding has id 0.
    """
    ids: list[int] = []
    for token in SPECIAL_TOKENS:
        number = tokenizer.token_to_id(token)
        if number is None or (number == PAD) != (token == SPECIAL_TOKENS[PAD]):
            raise ValueError(f"the tokenizer has {number} as the id of {token}; [PAD] must be 0")
        ids.append(number)
    return tuple(ids)


def _hash_word(spec: TextSpec, word: str) -> tuple[int, ...]:
    """Buckets (from 1) of the word itself and of its character n-grams, as fastText makes them."""
    framed = f"<{word}>"
    grams = [framed]
    for n in range(spec.ngram_min, spec.ngram_max + 1):
        room = spec.ngrams_per_word - len(grams)  # of a long word few are read, so few are made
        grams += [framed[i : i + n] for i in range(min(room, len(framed) - n + 1)) if n < len(framed)]
    buckets = spec.ngram_buckets - 1
    return tuple(1 + _fnv1a(gram.encode()) % buckets for gram in grams[: spec.ngrams_per_word])


class TextFeatures:
    """Turns queries and item texts into ids. Thread-safe; holds a tokenizer and an LRU of words.

    A tokenizer that frames texts itself, as those that come with a BERT do, has queries closed by ``[SEP]``
    too, and texts that are cut off keep their last ``[SEP]``, as the BERT has seen them.
    """

    def __init__(self, tokenizer: Tokenizer, spec: TextSpec, cached_words: int = _KEPT_WORDS) -> None:
        self.spec = spec
        self._tokenizer = tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        _, _, self._cls, self._sep = special_ids(tokenizer)
        self._framed = tokenizer.num_special_tokens_to_add(is_pair=False) > 0
        # Not a method: the cache would make a circle, and keep the tokenizer of a retired bundle.
        self._hash_word = partial(_hash_word, spec)
        self._known_word = lru_cache(maxsize=cached_words)(self._hash_word)

    def queries(self, queries: Sequence[str]) -> TextBatch:
        """Ids of queries as they were typed; an empty query gives ``[CLS]`` alone and no words."""
        return self.normal_queries([normalise(query) for query in queries])

    def normal_queries(self, queries: Sequence[NormalText]) -> TextBatch:
        """Ids of queries that are in their normal form already."""
        limit = self.spec.max_query_tokens
        encoded = self._tokenizer.encode_batch_fast(queries, add_special_tokens=False)
        if self._framed:
            ids = [[self._cls, *e.ids[: limit - 2], self._sep] for e in encoded]
        else:
            ids = [[self._cls, *e.ids[: limit - 1]] for e in encoded]
        return self._batch(ids, [words(text)[: self.spec.max_query_words] for text in queries])

    def items(self, items: Sequence[ItemText]) -> TextBatch:
        """Ids of item texts: title, category and description, each closed by ``[SEP]``."""
        parts = [normalise(part) for item in items for part in item]
        encoded = self._tokenizer.encode_batch_fast(parts, add_special_tokens=False)
        limit = self.spec.max_item_tokens
        ids: list[list[int]] = []
        item_words: list[list[str]] = []
        for row in range(len(items)):
            tokens, row_words = [self._cls], []
            for part in range(row * 3, row * 3 + 3):
                if parts[part]:
                    tokens += [*encoded[part].ids, self._sep]
                    row_words += words(parts[part])
            if self._framed and len(tokens) > limit:
                tokens[limit - 1] = self._sep
            ids.append(tokens[:limit])
            item_words.append(row_words[: self.spec.max_item_words])
        return self._batch(ids, item_words)

    def ngrams(self, text_words: Sequence[str]) -> list[tuple[int, ...]]:
        """The n-gram ids of words of a normalised text."""
        return [self._word_ngrams(word) for word in text_words]

    def _batch(self, ids: list[list[int]], text_words: list[list[str]]) -> TextBatch:
        rows = len(ids)
        hashed = [[self._word_ngrams(word) for word in row] for row in text_words]
        length = max((len(row) for row in ids), default=1)
        width = max((len(row) for row in hashed), default=0) or 1
        depth = max((len(word) for row in hashed for word in row), default=0) or 1
        input_ids = np.zeros((rows, length), dtype=np.int64)
        ngram_ids = np.zeros((rows, width, depth), dtype=np.int64)
        for r, row in enumerate(ids):
            input_ids[r, : len(row)] = row
        for r, hashed_row in enumerate(hashed):
            for w, grams in enumerate(hashed_row):
                ngram_ids[r, w, : len(grams)] = grams
        return TextBatch(input_ids, ngram_ids)

    def _word_ngrams(self, word: str) -> tuple[int, ...]:
        return self._known_word(word) if len(word) <= _LONGEST_KEPT else self._hash_word(word)
