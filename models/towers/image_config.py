"""The knobs of the image encoder. All values are *inferred* unless a comment says "paper"."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

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
    #: Width of the projection behind it, into the space of its CLIP's texts; 0 for none.
    projected: int = 0
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)


class CnnShape(Frozen):
    """A pretrained CNN, as the names and shapes of its weights say. ``mean`` and ``std`` as in `VitShape`.

    ``stages`` are rows of blocks, kernel, stride, expansion and width for EfficientNet-Lite; of a ResNet the
    blocks of each stage and whether they are of three convolutions.
    """

    family: Literal["efficientnet_lite", "resnet"]
    stages: tuple[tuple[int, ...], ...]
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class OnnxSpec(Frozen):
    """How a given ONNX encoder wants its pictures, and what is read of it, as the file beside it says.

    ``mean`` and ``std`` are of channels from 0 to 1; ``input`` and ``output`` are names in the graph.
    """

    side: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    input: str
    output: str
    channels_last: bool = False
    #: What becomes of more than one vector a picture: the mean over places (of a map ``[B, C, H, W]`` or
    #: tokens ``[B, T, C]``), or the first token.
    pool: Literal["none", "mean_map", "mean_tokens", "first"] = "none"


class ImageConfig(Frozen):
    """The small ViT that stands in for the paper's frozen ViT-L, and its contrastive training.

    With one of ``vit``, ``cnn`` or ``onnx`` the given encoder is used as it is; it is never trained, and
    what follows ``views`` does not apply.
    """

    #: A ViT folder in Hugging Face layout; ``picture.side`` is then the folder's own.
    vit: str | None = None
    #: Of the folder of ``vit``, which says so; nobody sets it.
    shape: VitShape | None = None
    #: Weights of an EfficientNet-Lite or a ResNet: a state dict as torch saves it, or ``efficientnet-lite0``
    #: for those of the package of the extra ``pictures``. ``picture.side`` is then ``cnn_side``.
    cnn: str | None = None
    #: Of the weights of ``cnn``, which say so; nobody sets it.
    cnn_shape: CnnShape | None = None
    #: Side of the pictures that the CNN sees.
    cnn_side: int = 128
    #: An ONNX graph from pixels to features, with its preparation in a JSON file beside it.
    onnx: str | None = None
    #: Of the file beside ``onnx``, which says so; nobody sets it.
    onnx_spec: OnnxSpec | None = None
    #: Width that a given encoder's features are cut down to, by the principal components of the shop's own
    #: pictures; 0 keeps the encoder's width. It becomes ``picture.feature_dim``.
    dims: int = Field(default=0, ge=0, le=4096)
    #: With ``dims``, whether components are even over the pictures of one product where products have several
    #: (at least as many more pictures than products as ``dims``), not over all pictures: what differs between
    #: two photos of one thing then counts for less.
    by_product: bool = True
    #: Augmented features of each query picture beside the plain one, with a given encoder.
    views: int = Field(default=0, ge=0, le=64)
    #: Folder that keeps a given encoder's features by picture hash, for other runs too; else the run's own.
    cache: str | None = None
    #: Width of the small ViT.
    width: int = 96
    #: Its transformer blocks.
    depth: int = 1
    #: Attention heads of each block.
    heads: int = 4
    #: Width of a block's hidden layer over its own width.
    mlp_ratio: float = 2.0
    #: Channels of the convolutions of the stem; each halves the picture, the last gives ``width``.
    stem: tuple[int, ...] = (24, 48)
    #: Rate of dropout in the blocks.
    dropout: float = 0.0
    #: Times that training sees every picture.
    epochs: int = 12
    #: Pictures in a step.
    batch: int = 64
    #: Highest learning rate of the image stage.
    rate: float = 3e-3
    #: Of AdamW.
    weight_decay: float = 0.05
    #: Scale of the cosines in the contrastive losses (1 / temperature).
    scale: float = 12.0
    #: Weight of the contrastive loss between picture and text.
    text_weight: float = 0.3
    #: Weight of the words of the queries that led to the product.
    word_weight: float = 1.0
    #: Weight of the classification of products.
    proxy_weight: float = 1.0
    #: Weight of the words of queries that titles hold too, over that of words that only pictures answer.
    told_weight: float = 0.1
    #: Products with fewer pictures than this take no part in the classification loss.
    proxy_min_pictures: int = 3
    #: Products at most in the classification, those with the most pictures.
    proxy_max_products: int = 20_000
    #: Share of the label that the classification spreads over all products.
    label_smoothing: float = 0.1
    #: Share of pictures whose text is a query that led to the product, not its title.
    query_share: float = 0.8
    #: Augmentation: least share of the side that a crop keeps.
    crop: float = 0.8
    #: Augmentation: most degrees that a picture is turned by.
    rotate: float = 5.0
    #: Augmentation: strength of the colour jitter.
    colour: float = 0.2
    #: Augmentation: whether pictures are mirrored at random.
    flip: bool = True
    #: Weight of the mean colour jitter between channels (white balance); 0 keeps hues apart.
    hue: float = 0.05
    #: At most this many pictures train the encoder; all of them get features.
    max_pictures: int = 50_000
    #: Augmented features of each query picture beside the plain one, so that stages 1 and 2 do not learn
    #: from features that are cleaner than those of a new photo.
    feature_views: int = 4

    @property
    def given(self) -> str | None:
        """The key of the encoder that was given, None where the small one is trained."""
        return next((key for key in ("vit", "cnn", "onnx") if getattr(self, key) is not None), None)
