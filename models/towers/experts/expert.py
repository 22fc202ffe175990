"""What an expert is to everything around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

from models.towers.experts.config import ExpertsConfig

#: Inputs of the experts' graphs, each a tensor of a batch: ``input_ids`` int64 ``[B, L]`` and ``ngram_ids``
#: int64 ``[B, W, G]`` (0 = padding), ``picture`` float32 ``[B, P]``, ``has_picture`` float32 ``[B]``.
Input = Literal["input_ids", "ngram_ids", "picture", "has_picture"]


@dataclass(frozen=True)
class Sizes:
    """What an expert is built from: rows of its tables and widths."""

    config: ExpertsConfig
    #: Tokens of the tokenizer, and the longest text in tokens.
    vocabulary: int
    positions: int
    #: Rows of the table of hashed n-grams.
    ngram_buckets: int
    #: Widths of a picture's feature and of an expert's output.
    feature_dim: int
    expert_dim: int


@dataclass(frozen=True)
class Expert:
    """An expert, which turns some of the inputs into one vector a row.

    Attributes:
        name: in the experts' axis, weights, switches, curves and ``explain``; a Python identifier.
        title: as people read it.
        build: makes the module, whose ``forward`` takes ``inputs`` and gives ``[B, d]``: of unit length, or
            zeros where it has nothing to say.
        inputs: what it reads, in the order of ``forward``.
        shared: whether both towers always use one module; the others follow ``experts.share_text_experts``.
        start: what its weights can start from: ``bert`` for a `TextTransformer`, ``ngrams`` for a module with
            a table ``ngrams`` (fastText vectors or a lexical start). None for neither.
        learns_coclicks: whether stage 1 also teaches it which items go together (``data.companion_share``);
            it then reads text alone.
        built_when_off: whether it is built where it is switched off, so that the random start of what comes
            after it stays the same. Dear ones are not.
    """

    name: str
    title: str
    build: Callable[[Sizes], nn.Module]
    inputs: tuple[Input, ...]
    shared: bool = False
    start: Literal["bert", "ngrams"] | None = None
    learns_coclicks: bool = False
    built_when_off: bool = False

    @property
    def reads_text(self) -> bool:
        """Whether a text gives it something to say."""
        return "input_ids" in self.inputs or "ngram_ids" in self.inputs

    @property
    def reads_picture(self) -> bool:
        """Whether a picture gives it something to say."""
        return "picture" in self.inputs
