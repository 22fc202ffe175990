"""Pretrained weights to start from: a BERT folder, fastText vectors, a ViT folder. Nothing is downloaded.

`resolve` reads what the files decide of the configuration and puts checksums in the place of paths, so that
neither a run's fingerprint nor a bundle depends on where the files lie. *Inferred*: how pretrained
weights enter; the paper only names a pretrained visual BERT, a Light-Bert of two layers and fastText.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tokenizers import Tokenizer
from torch import nn

from models.dataset.training_data import TrainingData
from models.towers import Config, Towers
from models.training.pretrained.bert import bert_sizes, bert_tokenizer, fill_bert
from models.training.pretrained.fasttext import FastText
from models.training.pretrained.fasttext_fit import fit_ngrams
from models.training.pretrained.folder import PretrainedError, weights_file
from models.training.pretrained.lexical import scale_ngrams
from models.training.pretrained.vit import load_vit, vit_sizes

__all__ = ["Pretrained", "PretrainedError", "load_vit", "resolve"]


@dataclass(frozen=True)
class Pretrained:
    """Where the pretrained weights lie, None for what starts from scratch; ``cache`` keeps ViT features."""

    bert: Path | None = None
    fasttext: Path | None = None
    vit: Path | None = None
    cache: Path | None = None

    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer that goes with the BERT."""
        return None if self.bert is None else bert_tokenizer(self.bert)

    def fill(self, towers: Towers, data: TrainingData) -> None:
        """Put the pretrained weights, and a lexical start where it is wanted, into towers just made.

        Raises:
            PretrainedError: a weight is missing or has another shape, or no expert starts from it.
        """
        if self.bert is not None:
            fill_bert(self.bert, towers.starting_from("bert"))
        if self.fasttext is None and not data.config.experts.lexical_start:
            return
        tables = [cast(nn.Embedding, expert.ngrams).weight.data for expert in towers.starting_from("ngrams")]
        if not tables:
            raise PretrainedError("experts.fasttext, experts.lexical_start: no expert here reads n-grams")
        if self.fasttext is not None:
            vectors = FastText.open(self.fasttext)
            for table in tables:
                fit_ngrams(table, vectors, data)
        if data.config.experts.lexical_start:
            for table in tables:
                scale_ngrams(table, data)


def resolve(config: Config) -> tuple[Config, Pretrained]:
    """The configuration that the pretrained files lead to, and where they lie.

    Raises:
        PretrainedError: a file is missing, damaged or of a kind that is not known.
    """
    experts, image = config.experts, config.image
    paths = (experts.bert, experts.fasttext, image.vit, image.cache)
    pretrained = Pretrained(*(None if path is None else Path(path) for path in paths))
    changed: dict[str, object] = {}
    if pretrained.bert is not None:
        changed |= bert_sizes(pretrained.bert, config) | {
            "bert": _name(pretrained.bert, weights_file(pretrained.bert))
        }
    if pretrained.fasttext is not None:
        if not pretrained.fasttext.is_file():
            raise PretrainedError(f"{pretrained.fasttext}: there is no such file")
        changed["fasttext"] = _name(pretrained.fasttext, pretrained.fasttext)
    image = image.model_copy(update={"cache": None})
    update: dict[str, object] = {"experts": experts.model_copy(update=changed), "image": image}
    if pretrained.vit is not None:
        shape, picture = vit_sizes(pretrained.vit)
        name = _name(pretrained.vit, weights_file(pretrained.vit))
        update |= {"image": image.model_copy(update={"vit": name, "shape": shape}), "picture": picture}
    return config.model_copy(update=update), pretrained


def _name(path: Path, weights: Path) -> str:
    """What stands for a path in a run's configuration: its last part and a checksum of the weights."""
    with weights.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    return f"{path.resolve().name}@{digest}"
