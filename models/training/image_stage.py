"""Stage 0: the image encoder, trained contrastively on the catalogue and then frozen.

*Inferred*, in place of the paper's ViT-L. Four signals, as far as the shop has them: pictures against
the texts that belong to them (titles, and queries that led to a click), the words of those queries, two
views of one product against each other (another photo of it where there is one), and which product a photo
shows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artifacts.bundle.text import special_ids
from common.arrays import F32, I64, U8
from common.progress import Progress
from models.dataset.training_data import TrainingData
from models.towers import Config, ImageEncoder
from models.towers.experts.ftatt import FtAtt
from models.towers.layers import unit
from models.training.augment import as_float, augment
from models.training.loop import Group, Losses, Schedule, Stage
from models.training.losses import contrast

_CHUNK = 1024


class ImageStage(nn.Module):
    """The encoder with what only its training needs: a text tower and product prototypes."""

    def __init__(self, config: Config, products: int, vocabulary: int) -> None:
        super().__init__()
        dim = config.picture.feature_dim
        self.encoder = ImageEncoder(config.image, config.picture)
        self.text = FtAtt(config.text.ngram_buckets, dim, config.experts.dropout)
        self.head = nn.Linear(dim, dim)
        self.words = nn.Linear(dim, vocabulary)
        # Words are rare: without this the first steps go into learning that.
        nn.init.constant_(self.words.bias, -5.0)
        self.products = nn.Linear(dim, max(products, 1), bias=False)


class Labelled:
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
        self._starts = np.searchsorted(self.item, self.item, side="left")
        self._counts = np.searchsorted(self.item, self.item, side="right") - self._starts

    def __len__(self) -> int:
        return len(self.item)

    def another(self, rows: I64, rng: np.random.Generator) -> I64:
        """For each row a row of the same item, at random; itself where there is no other."""
        drawn: I64 = self._starts[rows] + (rng.random(len(rows)) * self._counts[rows]).astype(np.int64)
        return drawn

    def products(self, least: int, most: int) -> I64:
        """For each item row up to the last its class, or -1: items with ``least`` pictures or more."""
        counts = np.bincount(self.item)
        chosen = np.flatnonzero(counts >= least)[:most]
        classes = np.full(len(counts), -1, dtype=np.int64)
        classes[chosen] = np.arange(len(chosen))
        return classes


def train_image_encoder(
    data: TrainingData, pixels_of: I64, pixels: U8, labelled: Labelled, folder: Path,
    progress: Progress, device: str = "cpu",
) -> ImageEncoder:  # fmt: skip
    """Train, or load what was trained before.

    Args:
        data: the prepared run.
        pixels_of: for each picture id its row of ``pixels``.
        pixels: uint8 ``[n, S, S, 3]``, memory-mapped.
        labelled: which pictures show what.
        folder: for the checkpoint.
        progress: see `Stage.run`.
        device: where it trains; the encoder comes back on the CPU.
    """
    config = data.config
    image = config.image
    classes = labelled.products(image.proxy_min_pictures, image.proxy_max_products)
    torch.manual_seed(config.seed)
    module = ImageStage(config, int(classes.max(initial=-1)) + 1, data.tokenizer.get_vocab_size()).to(
        device, memory_format=torch.channels_last
    )  # type: ignore[call-overload]
    stage = Stage("image", folder, config.seed, config.checkpoint_minutes, device, bf16=config.bf16)
    if stage.finished or not len(labelled):
        if stage.finished:
            stage.load(module)
        return _on_cpu(module)
    batches = Batches(data, labelled.item)
    weights = torch.from_numpy(batches.weights(labelled.item, image.told_weight)).to(device)
    per_epoch = max(1, len(labelled) // image.batch)

    def losses(step: int, rng: np.random.Generator, generator: torch.Generator) -> Losses:
        rows = _epoch_rows(len(labelled), image.batch, step, config.seed)
        two = image.view_weight > 0
        items = labelled.item[rows]
        shown = labelled.picture[rows]
        if two:
            shown = np.concatenate([shown, labelled.picture[labelled.another(rows, rng)]])
        views = augment(as_float(torch.from_numpy(pixels[pixels_of[shown]]).to(device)), image, generator)
        # Channels last is a fifth faster on CPUs.
        features: Tensor = module.encoder.encode(views.contiguous(memory_format=torch.channels_last))
        heads = torch.split(unit(module.head(features)), len(rows))
        label = torch.from_numpy(items).to(device)
        ngrams, means = (torch.from_numpy(a).to(device) for a in batches.texts(items, rng))
        same = (label[:, None] == label[None, :]) | (means[:, None] == means[None, :])
        texts = unit(module.text(ngrams))
        text_loss = torch.stack([contrast(head, texts, same, scale=image.scale) for head in heads]).mean()
        named = torch.from_numpy(batches.words(items)).to(device).tile(len(heads), 1)
        word_loss = _word_loss(module.words(features), named, weights)
        target = torch.from_numpy(np.tile(classes[items], len(heads))).to(device)
        product_loss = _product_loss(module.products(features), target, image.label_smoothing)
        view_loss = contrast(heads[0], heads[1], same, scale=image.scale) if two else text_loss.detach() * 0
        loss = image.text_weight * text_loss + image.word_weight * word_loss
        loss = loss + image.view_weight * view_loss + image.proxy_weight * product_loss
        return {
            "loss": loss,
            "text": text_loss,
            "words": word_loss,
            "view": view_loss,
            "product": product_loss,
        }

    schedule = Schedule(image.epochs * per_epoch, image.rate, image.weight_decay)
    stage.run(module, [Group(module.parameters())], schedule, losses, progress)
    return _on_cpu(module)


def _on_cpu(module: ImageStage) -> ImageEncoder:
    encoder: ImageEncoder = module.encoder.cpu()
    return encoder


class Batches:
    """Texts for items: their titles, and the queries that led to a click on them."""

    def __init__(self, data: TrainingData, shown: I64) -> None:
        self._data = data
        wanted = np.zeros(data.items, dtype=np.bool_)
        wanted[shown] = True
        asked = (np.asarray(data.query) > 0) & wanted[data.item]
        pairs = np.unique(np.stack([data.item[asked], data.query[asked]]), axis=1)
        self._query: I64 = pairs[1].astype(np.int64)
        self._ends: I64 = np.searchsorted(pairs[0], np.arange(data.items + 1))
        tokens = data.text.queries(data.queries).input_ids
        self._special = list(special_ids(data.tokenizer))
        tokens[np.isin(tokens, self._special)] = 0
        self._tokens = tokens

    def texts(self, items: I64, rng: np.random.Generator) -> tuple[I64, I64]:
        """One text for each item, its title or one of its queries.

        Returns:
            Its n-grams int64 ``[B, W, G]``, and ``[B]``, which is the same for the same query.
        """
        chosen = self._queries(items, rng)
        as_query = (rng.random(len(items)) < self._data.config.image.query_share) & (chosen > 0)
        titles = self._data.texts.batch(items).ngram_ids
        queries = self._data.text.queries([self._data.queries[q] for q in chosen]).ngram_ids
        result = np.zeros(np.maximum(titles.shape, queries.shape), dtype=np.int64)
        own = ~as_query
        result[own, : titles.shape[1], : titles.shape[2]] = titles[own]
        result[as_query, : queries.shape[1], : queries.shape[2]] = queries[as_query]
        return result, np.where(as_query, chosen, -1 - items)

    def words(self, items: I64) -> F32:
        """float32 ``[B, V]``: 1 for each token of the queries that led to an item, or else of its title."""
        result = np.zeros((len(items), self._data.tokenizer.get_vocab_size()), dtype=np.float32)
        low, high = self._ends[items], self._ends[items + 1]
        for place, (start, stop) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
            result[place, self._tokens[self._query[start:stop]].ravel()] = 1.0
        unasked = np.flatnonzero(low == high)
        titles = self._data.texts.batch(items[unasked]).input_ids
        result[unasked[:, None], titles] = 1.0
        result[:, self._special] = 0.0
        return result

    def weights(self, items: I64, told: float) -> F32:
        """float32 ``[V]``: what a token weighs, 1 on average of the tokens named.

        A token that the titles of the items hold as well weighs ``told`` times as much as one that no title
        has: what texts tell, such as a brand, no picture has to, and most of it none can.
        """
        named = np.zeros(self._data.tokenizer.get_vocab_size())
        both = named.copy()
        for start in range(0, len(items), _CHUNK):
            part = items[start : start + _CHUNK]
            words = self.words(part)
            titles = np.zeros_like(words)
            titles[np.arange(len(part))[:, None], self._data.texts.batch(part).input_ids] = 1.0
            named += words.sum(axis=0)
            both += (words * titles).sum(axis=0)
        weights = 1.0 - (1.0 - told) * both / np.maximum(named, 1.0)
        mean = (weights * named).sum() / max(1.0, named.sum())
        return np.asarray(weights / (mean or 1.0), dtype=np.float32)

    def _queries(self, items: I64, rng: np.random.Generator) -> I64:
        """For each item the row of a query that led to it, 0 where none did."""
        low, high = self._ends[items], self._ends[items + 1]
        places = low + (rng.random(len(items)) * (high - low)).astype(np.int64)
        if not len(self._query):
            return np.zeros(len(items), dtype=np.int64)
        chosen = self._query[np.minimum(places, len(self._query) - 1)]
        return np.where(high > low, chosen, 0).astype(np.int64)


def _epoch_rows(count: int, batch: int, step: int, seed: int) -> I64:
    """Rows of a step: every epoch is its own shuffle, found again from the step's number alone."""
    per_epoch = max(1, count // batch)
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng((seed, epoch)).permutation(count)
    return order[place * batch : (place + 1) * batch]


def _word_loss(logits: Tensor, named: Tensor, weights: Tensor) -> Tensor:
    """Each word by itself, so that a category that is told already leaves the rest to be learnt."""
    total = F.binary_cross_entropy_with_logits(logits, named, weight=weights, reduction="sum")
    return total / named.sum().clamp(min=1.0)


def _product_loss(logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
    known = target >= 0
    if not bool(known.any()):
        return logits.sum() * 0.0
    # Over all rows: a batch with one classified photo must not learn from it as from a hundred.
    total = F.cross_entropy(logits[known], target[known], label_smoothing=smoothing, reduction="sum")
    return total / len(target)
