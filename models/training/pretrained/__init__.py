"""Pretrained weights: a BERT folder, fastText vectors, an image encoder (ViT folder, CNN, ONNX graph).

Nothing is downloaded. `resolve` reads what the files decide of the configuration and puts checksums in the
place of paths, so that neither a run's fingerprint nor a bundle depends on where the files lie. *Inferred*:
how pretrained weights enter; the paper only names a pretrained visual BERT, a Light-Bert of two layers and
fastText.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tokenizers import Tokenizer
from torch import nn

from artifacts.bundle.manifest import PictureSpec
from models.dataset.training_data import TrainingData
from models.towers import Config, Towers
from models.towers.presets import NEEDS
from models.training.pretrained.bert import bert_sizes, bert_tokenizer, fill_aligned, fill_bert
from models.training.pretrained.cnn import cnn_file, cnn_shape, load_cnn
from models.training.pretrained.fasttext import FastText
from models.training.pretrained.fasttext_fit import fit_ngrams
from models.training.pretrained.folder import PretrainedError, weights_file
from models.training.pretrained.lexical import scale_ngrams
from models.training.pretrained.onnx_encoder import onnx_spec
from models.training.pretrained.vit import load_vit, vit_sizes

__all__ = ["Pretrained", "PretrainedError", "load_vit", "resolve"]


@dataclass(frozen=True)
class Pretrained:
    """Where the pretrained weights lie, None for what starts from scratch; ``cache`` keeps raw features."""

    bert: Path | None = None
    fasttext: Path | None = None
    vit: Path | None = None
    cnn: Path | None = None
    onnx: Path | None = None
    cache: Path | None = None

    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer that goes with the BERT."""
        return None if self.bert is None else bert_tokenizer(self.bert)

    def encoder(self, config: Config) -> nn.Module:
        """The ViT or CNN with its weights, frozen.

        Raises:
            PretrainedError: a weight is missing or has another shape.
        """
        image = config.image
        if self.cnn is not None:
            assert image.cnn_shape is not None
            return load_cnn(self.cnn, image.cnn_shape)
        assert self.vit is not None
        assert image.shape is not None
        return load_vit(self.vit, image.shape, config.picture)

    def fill(self, towers: Towers, data: TrainingData) -> None:
        """Put the pretrained weights, and a lexical start where it is wanted, into towers just made.

        Raises:
            PretrainedError: a weight is missing or has another shape, or no expert starts from it.
        """
        if self.bert is not None:
            fill_bert(self.bert, towers.starting_from("bert"))
            if data.config.experts.aligned:
                fill_aligned(self.bert, towers.starting_from("bert"))
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
    _demand(config)
    experts, image = config.experts, config.image
    given = [key for key in ("vit", "cnn", "onnx") if getattr(image, key) is not None]
    if len(given) > 1:
        raise PretrainedError(f"{' and '.join(f'image.{key}' for key in given)}: one image encoder is enough")
    cnn = None if image.cnn is None else cnn_file(image.cnn)
    paths = (experts.bert, experts.fasttext, image.vit, cnn, image.onnx, image.cache)
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
    found: dict[str, object] = {}
    # Cut down to components, features would be in a space of their own.
    aligned = pretrained.bert is not None and pretrained.bert == pretrained.vit and not image.dims
    if pretrained.vit is not None:
        shape, picture = vit_sizes(pretrained.vit, aligned=aligned)
        update["experts"] = experts.model_copy(update={**changed, "aligned": shape.projected})
        found = {"vit": _name(pretrained.vit, weights_file(pretrained.vit)), "shape": shape}
    elif pretrained.cnn is not None:
        cnn_of = cnn_shape(pretrained.cnn)
        picture = PictureSpec(side=image.cnn_side, feature_dim=cnn_of.width)
        found = {"cnn": _name(pretrained.cnn, pretrained.cnn), "cnn_shape": cnn_of}
    elif pretrained.onnx is not None:
        spec = onnx_spec(pretrained.onnx)
        picture = PictureSpec(side=spec.side, feature_dim=spec.width)
        found = {"onnx": _name(pretrained.onnx, pretrained.onnx), "onnx_spec": spec}
    if found:
        # More components than there are values would be zeros.
        dims = min(image.dims, picture.feature_dim)
        picture = picture.model_copy(update={"feature_dim": dims or picture.feature_dim})
        update |= {"image": image.model_copy(update={**found, "dims": dims}), "picture": picture}
    return config.model_copy(update=update), pretrained


def _demand(config: Config) -> None:
    """Refuse a preset that lacks the weights that it is about."""
    for key, what in NEEDS.get(config.preset, {}).items():
        part, name = key.split(".")
        if getattr(getattr(config, part), name) is None:
            raise PretrainedError(f"the preset {config.preset} needs {what}: --set {key}=PATH")


def _name(path: Path, weights: Path) -> str:
    """What stands for a path in a run's configuration: its last part and a checksum of the weights."""
    with weights.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    return f"{path.resolve().name}@{digest}"
