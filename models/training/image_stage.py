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
from models.towers.config import Config, StageConfig
from models.towers.experts.ftatt import FtAtt
from models.towers.experts.layers import unit
from models.towers.image_encoder import ImageEncoder, as_float
from models.training.augment import augment
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


class LabelledPictures:
    """Pictures with the item that each one shows: item pictures, and query pictures by their clicks.

    Attributes:
        picture, item: int64 ``[n]``, distinct pairs.
    """

    def __init__(self, data: TrainingData, limit: int, seed: int) -> None:
        rows = np.flatnonzero(data.item_picture >= 0)
        clicked = np.flatnonzero(np.asarray(data.picture) >= 0)
        pictures = np.concatenate([data.item_picture[rows], data.picture[clicked]]).astype(np.int64)
        items = np.concatenate([rows, data.item[clicked]]).astype(np.int64)
        keys = np.unique(items * max(1, len(data.picture_files)) + pictures)
        if len(keys) > limit:
            keys = np.sort(np.random.default_rng(seed).choice(keys, limit, replace=False))
        self.item, self.picture = np.divmod(keys, max(1, len(data.picture_files)))

    def __len__(self) -> int:
        return len(self.item)

    def products(self, least: int, most: int) -> I64:
        """For each item row up to the last its class, or -1: items with ``least`` pictures or more."""
        counts = np.bincount(self.item)
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
    labelled = LabelledPictures(data, config.image.max_pictures, config.seed)
    used = np.unique(labelled.picture)
    pixels = write_pixels(run, shop, [data.picture_files[p] for p in used])
    row_of = np.full(len(data.picture_files), -1, dtype=np.int64)
    row_of[used] = np.arange(len(used))
    encoder = _train_encoder(run, labelled, pixels, row_of)
    plain = write_features(run, shop, encoder, data.picture_files, 0, out / "picture_features.npy")
    asked = data.query_pictures()
    files, path = [data.picture_files[p] for p in asked], out / "query_picture_features.npy"
    views = write_features(run, shop, encoder, files, config.image.feature_views, path)
    return PictureFeatures(plain, views, asked)


def _train_encoder(run: Run, labelled: LabelledPictures, pixels: U8, row_of: I64) -> ImageEncoder:
    """Train the encoder, or load what was trained before; ``row_of`` gives a picture id's row of ``pixels``.

    It comes back on the CPU.
    """
    data, config, image, device = run.data, run.config, run.config.image, run.device
    classes = labelled.products(image.proxy_min_pictures, image.proxy_max_products)
    torch.manual_seed(config.seed)
    module = ImageStage(config, int(classes.max(initial=-1)) + 1, data.vocabulary)
    module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    stage = Stage("image", run)
    if stage.finished or not len(labelled):
        if stage.finished:
            stage.load(module)
        return module.encoder.cpu()
    texts = PictureTexts(data, labelled.item)
    weights = torch.from_numpy(texts.weights(labelled.item, image.told_weight)).to(device)
    per_epoch = max(1, len(labelled) // image.batch)

    def losses(step: int, rng: np.random.Generator, generator: torch.Generator) -> Losses:
        rows = _epoch_rows(len(labelled), image.batch, step, config.seed)
        items, shown = labelled.item[rows], labelled.picture[rows]
        views = augment(as_float(torch.from_numpy(pixels[row_of[shown]]).to(device)), image, generator)
        # Channels last is a fifth faster on CPUs.
        features: Tensor = module.encoder.encode(views.contiguous(memory_format=torch.channels_last))
        label = torch.from_numpy(items).to(device)
        ngrams, means = (torch.from_numpy(a).to(device) for a in texts.draw(items, rng))
        same = (label[:, None] == label[None, :]) | (means[:, None] == means[None, :])
        head, told = unit(module.head(features)), unit(module.text(ngrams))
        text_loss = contrast(head, told, same, scale=image.scale)
        named = torch.from_numpy(texts.words(items)).to(device)
        word_loss = _word_loss(module.words(features), named, weights)
        target = torch.from_numpy(classes[items]).to(device)
        product_loss = _product_loss(module.products(features), target, image.label_smoothing)
        loss = image.text_weight * text_loss + image.word_weight * word_loss
        loss = loss + image.proxy_weight * product_loss
        return {"loss": loss, "text": text_loss, "words": word_loss, "product": product_loss}

    knobs = StageConfig(steps=image.epochs * per_epoch, rate=image.rate, weight_decay=image.weight_decay)
    stage.run(module, [{"params": module.parameters(), "factor": 1.0}], knobs, losses)
    return module.encoder.cpu()


def _epoch_rows(count: int, batch: int, step: int, seed: int) -> I64:
    """Rows of a step. Every epoch has its own shuffle, which follows from the step's number alone."""
    per_epoch = max(1, count // batch)
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng((seed, epoch)).permutation(count)
    return order[place * batch : (place + 1) * batch]


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
