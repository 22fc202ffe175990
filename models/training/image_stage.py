"""Stage 0: the image encoder, trained contrastively on the catalogue and then frozen.

*Inferred*, in place of the paper's ViT-L. It learns from three signals, as far as the shop has them: which
text belongs to a picture (titles, and queries that led to a click), the words of those queries, and which
product a photo shows.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artifacts.shop.shop import Shop
from common.arrays import I64, U8
from models.dataset.training_data import TrainingData
from models.towers.config import Config
from models.towers.experts.ftatt import FtAtt
from models.towers.experts.layers import unit
from models.towers.image_encoder import ImageEncoder, as_float
from models.towers.training_config import StageConfig
from models.training.augment import augment
from models.training.encode import to_device
from models.training.features import PictureFeatures
from models.training.loop import Losses, Stage
from models.training.losses import contrast
from models.training.picture_texts import PictureTexts
from models.training.pictures import write_features, write_pixels
from models.training.run import Run


class ImageStage(nn.Module):
    """The encoder with what only its training needs: a text tower and product prototypes."""

    def __init__(self, config: Config, products: int, vocabulary: int) -> None:
        super().__init__()
        dim = config.picture.feature_dim
        self.encoder = ImageEncoder(config.image, config.picture)
        self.text = FtAtt(config.text.ngram_buckets, dim, config.experts.dropout)
        self.head = nn.Linear(dim, dim)
        self.words = nn.Linear(dim, vocabulary)
        # Most words are absent from most pictures: the start says so, or the first steps only learn that.
        nn.init.constant_(self.words.bias, -5.0)
        self.products = nn.Linear(dim, max(products, 1), bias=False)


def labelled(data: TrainingData, limit: int, seed: int) -> tuple[I64, I64]:
    """Distinct pairs ``[n]`` of item and picture: its own, and those of queries that led to a click on it."""
    rows = np.flatnonzero(data.item_picture >= 0)
    clicked = np.flatnonzero(np.asarray(data.picture) >= 0)
    pictures = np.concatenate([data.item_picture[rows], data.picture[clicked]]).astype(np.int64)
    items = np.concatenate([rows, data.item[clicked]]).astype(np.int64)
    keys = np.unique(items * max(1, len(data.picture_files)) + pictures)
    if len(keys) > limit:
        keys = np.sort(np.random.default_rng(seed).choice(keys, limit, replace=False))
    return np.divmod(keys, max(1, len(data.picture_files)))


def _classes(items: I64, least: int, most: int) -> I64:
    """For each item row up to the last its class, or -1: items with ``least`` pictures or more."""
    counts = np.bincount(items)
    chosen = np.flatnonzero(counts >= least)[:most]
    classes = np.full(len(counts), -1, dtype=np.int64)
    classes[chosen] = np.arange(len(chosen))
    return classes


def train_pictures(run: Run, shop: Shop) -> PictureFeatures:
    """Train the encoder, and run it over all pictures; both only where that was not done before.

    Raises:
        DataError: a picture cannot be read.
    """
    data, config, out = run.data, run.config, run.folder
    items, pictures = labelled(data, config.image.max_pictures, config.seed)
    used, rows = np.unique(pictures, return_inverse=True)
    pixels = write_pixels(run, shop, [data.picture_files[p] for p in used])
    encoder = _train_encoder(run, items, rows, pixels)
    plain = write_features(run, shop, encoder, data.picture_files, 0, out / "picture_features.npy")
    asked = data.query_pictures()
    files, path = [data.picture_files[p] for p in asked], out / "query_picture_features.npy"
    views = write_features(run, shop, encoder, files, config.image.feature_views, path)
    return PictureFeatures(plain, views, asked)


def _train_encoder(run: Run, labels: I64, shown: I64, pixels: U8) -> ImageEncoder:
    """Train the encoder, or load what was trained before; it comes back on the CPU.

    Rows ``shown`` ``[n]`` of the pixels are pictures of the items ``labels`` ``[n]``.
    """
    data, config, image, device = run.data, run.config, run.config.image, run.device
    classes = _classes(labels, image.proxy_min_pictures, image.proxy_max_products)
    torch.manual_seed(config.seed)
    module = ImageStage(config, int(classes.max(initial=-1)) + 1, data.vocabulary)
    module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    stage = Stage("image", run)
    if stage.finished:
        stage.load(module)
    if stage.finished or not len(labels):
        return module.encoder.cpu()
    texts = PictureTexts(data, labels)
    weights = to_device(texts.weights(labels, image.told_weight), device)
    per_epoch = max(1, len(labels) // image.batch)

    def losses(step: int, rng: np.random.Generator, generator: torch.Generator) -> Losses:
        # Every epoch has its own shuffle, which follows from the step's number alone.
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng((config.seed, epoch)).permutation(len(labels))
        rows = order[place * image.batch : (place + 1) * image.batch]
        items = labels[rows]
        views = augment(as_float(to_device(pixels[shown[rows]], device)), image, generator)
        # Channels last is a fifth faster on CPUs.
        features: Tensor = module.encoder.encode(views.contiguous(memory_format=torch.channels_last))
        label = to_device(items, device)
        ngrams, means = (to_device(array, device) for array in texts.draw(items, rng))
        same = (label[:, None] == label[None, :]) | (means[:, None] == means[None, :])
        head, told = unit(module.head(features)), unit(module.text(ngrams))
        text_loss = contrast(head, told, same, scale=image.scale)
        named = to_device(texts.words(items), device)
        word_loss = _word_loss(module.words(features), named, weights)
        target = to_device(classes[items], device)
        product_loss = _product_loss(module.products(features), target, image.label_smoothing)
        loss = image.text_weight * text_loss + image.word_weight * word_loss
        loss = loss + image.proxy_weight * product_loss
        return {"loss": loss, "text": text_loss, "words": word_loss, "product": product_loss}

    knobs = StageConfig(steps=image.epochs * per_epoch, rate=image.rate, weight_decay=image.weight_decay)
    stage.run(module, [{"params": module.parameters(), "factor": 1.0}], knobs, losses)
    return module.encoder.cpu()


def _word_loss(logits: Tensor, named: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy of each word by itself: knowing the category does not hide the other words."""
    total = F.binary_cross_entropy_with_logits(logits, named, weight=weights, reduction="sum")
    return total / named.sum().clamp(min=1.0)


def _product_loss(logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
    known = target >= 0
    if not bool(known.any()):
        return logits.sum() * 0.0
    # Divided by all rows, so that a single classified photo weighs no more than one of a hundred does.
    total = F.cross_entropy(logits[known], target[known], label_smoothing=smoothing, reduction="sum")
    return total / len(target)
