"""The knobs that experts are built from. All values are *inferred* unless a comment says "paper"."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Base of all parts of a configuration: values never change, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BertShape(Frozen):
    """What the layers of a pretrained BERT need beside their sizes; its folder says so, nobody sets it."""

    activation: Literal["gelu", "gelu_tanh", "relu"] = "gelu"
    norm_eps: float = 1e-12


class ExpertsConfig(Frozen):
    """Sizes of the experts (paper: Light-Bert has two layers), and the weights that they start from."""

    #: A BERT folder in Hugging Face layout that Light-Bert and VBert start from: its first ``layers`` layers
    #: and its tokenizer. ``hidden``, ``heads`` and ``mlp_ratio`` are then the folder's own.
    bert: str | None = None
    #: Of the folder of ``bert``, which says so; nobody sets it.
    shape: BertShape | None = None
    #: Width of the space that this BERT and ``image.vit`` share, where both are of one CLIP-style folder:
    #: VBert then starts as that CLIP. The folder says so, nobody sets it.
    aligned: int = 0
    #: fastText vectors (``.vec`` or ``.bin``) that the n-grams of FtAtt start from.
    fasttext: str | None = None
    #: Start FtAtt's n-grams at lengths that make a word count by its idf in the catalogue; for few clicks.
    lexical_start: bool = False
    #: Learning rate of the weights that come from a pretrained BERT, as a factor of the stage's rate.
    pretrained_rate: float = 0.02
    #: The experts that start from a BERT train in every n-th step of stage 1, because their steps cost ten
    #: times those of FtAtt; 0 leaves them as they are.
    pretrained_every: int = 1

    #: ``single`` puts one transformer of as many parameters in their place, for `mrse ablate`.
    kind: Literal["lmoe", "single"] = "lmoe"
    #: Width of the transformers.
    hidden: int = 64
    #: Attention heads of each layer.
    heads: int = 4
    #: Layers of Light-Bert and VBert (paper: two).
    layers: int = 2
    #: Width of a layer's hidden part over its own width.
    mlp_ratio: float = 2.0
    #: Rate of dropout; 0 because the demo's training ends long before it has seen each example often.
    dropout: float = 0.0
    #: Whether both towers share one Light-Bert and one FtAtt; VBert is always shared (paper: same structure).
    share_text_experts: bool = True
