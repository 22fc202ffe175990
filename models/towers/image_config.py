"""The knobs of the image encoder. All values are *inferred* unless a comment says "paper"."""

from __future__ import annotations

from typing import Literal

from models.towers.experts.config import Frozen


class VitShape(Frozen):
    """A pretrained ViT, as its folder says. ``mean`` and ``std`` are of channels from 0 to 1."""

    family: Literal["vit", "clip"] = "vit"
    width: int
    depth: int
    heads: int
    hidden: int
    patch: int
    activation: Literal["gelu", "gelu_tanh", "quick_gelu", "relu"] = "gelu"
    norm_eps: float = 1e-12
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)


class ImageConfig(Frozen):
    """The small ViT that stands in for the paper's frozen ViT-L, and its contrastive training."""

    #: A ViT folder in Hugging Face layout, used as it is in place of the small one; ``picture.side`` and
    #: ``picture.feature_dim`` are then the folder's own, and nothing below applies.
    vit: str | None = None
    shape: VitShape | None = None
    #: Folder that keeps a pretrained ViT's features by picture hash, for other runs too; else the run's own.
    cache: str | None = None
    width: int = 96
    depth: int = 1
    heads: int = 4
    #: Width of a block's hidden layer over its own width.
    mlp_ratio: float = 2.0
    #: Channels of the convolutions of the stem; each halves the picture, the last gives ``width``.
    stem: tuple[int, ...] = (24, 48)
    dropout: float = 0.0
    epochs: int = 12
    #: Pictures in a step.
    batch: int = 64
    rate: float = 3e-3
    weight_decay: float = 0.05
    #: Scale of the cosines in the contrastive losses (1 / temperature).
    scale: float = 12.0
    #: Weights of: picture-text, words of the queries that led to the product, product classification.
    text_weight: float = 0.3
    word_weight: float = 1.0
    proxy_weight: float = 1.0
    #: Weight of the words of queries that titles hold too, over that of words that only pictures answer.
    told_weight: float = 0.1
    #: Products with fewer pictures than this take no part in the classification loss.
    proxy_min_pictures: int = 3
    proxy_max_products: int = 20_000
    label_smoothing: float = 0.1
    #: Share of pictures whose text is a query that led to the product, not its title.
    query_share: float = 0.8
    #: Augmentation: least share of the side that a crop keeps, degrees, and strength of colour jitter.
    crop: float = 0.8
    rotate: float = 5.0
    colour: float = 0.2
    flip: bool = True
    #: Weight of the mean colour jitter between channels (white balance); 0 keeps hues apart.
    hue: float = 0.05
    #: At most this many pictures train the encoder; all of them get features.
    max_pictures: int = 50_000
    #: Augmented features of each query picture beside the plain one, so that stages 1 and 2 do not learn
    #: from features that are cleaner than those of a new photo.
    feature_views: int = 4
