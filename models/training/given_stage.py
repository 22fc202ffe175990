"""Stage 0 with a given image encoder: it runs once over the pictures and stays frozen; nothing is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from artifacts.shop.shop import Shop
from common.arrays import F32, I64
from common.files import replacing
from common.progress import stage_progress
from models.towers import Config
from models.towers.given_encoder import GivenEncoder
from models.towers.image_encoder import as_float
from models.towers.pretrained_cnn import PretrainedCnn
from models.towers.pretrained_vit import PretrainedVit
from models.training.augment import augment
from models.training.features import PictureFeatures
from models.training.image_stage import labelled
from models.training.pictures import read_pixels, write_pixels
from models.training.pretrained import Pretrained
from models.training.pretrained.cache import FeatureCache, raw_features
from models.training.pretrained.onnx_encoder import OnnxEncoder, write_encoder
from models.training.run import Run
from models.training.stored import stored_array

_WEIGHTS, _GRAPH = "encoder.pt", "encoder.onnx"
#: What older runs kept of a ViT.
_OLD_WEIGHTS = "vit.pt"
#: Pictures whose pixels are kept for the export's parity check.
_SAMPLES = 32
#: Pictures that the principal components are taken from, at most; and at once through the encoder.
_FITTED, _CHUNK = 20_000, 64


def given_pictures(run: Run, shop: Shop, pretrained: Pretrained) -> PictureFeatures:
    """Features of all pictures, and the encoder with its weights in the run folder.

    Raises:
        PretrainedError: the weights do not fit.
        DataError: a picture cannot be read.
    """
    config, data, out = run.config, run.data, run.folder
    encoder = _begin(run, pretrained)
    write_pixels(run, shop, data.picture_files[:_SAMPLES])
    plain, asked = out / "picture_features.npy", data.query_pictures()
    if not (plain.is_file() and (out / _WEIGHTS).is_file()):
        name = f"{getattr(config.image, str(config.image.given))}.{config.picture.side}.bin"
        kept = FeatureCache((pretrained.cache or out) / name, raw_width(config))
        found = raw_features(
            encoder.raw, shop, data.picture_files, config.picture.side, kept, run.progress, run.device
        )
        drawn = np.sort(np.random.default_rng(config.seed).permutation(len(found))[:_FITTED])
        encoder.fit(found[drawn], _products(run, drawn) if config.image.by_product else None)
        with replacing(out / _WEIGHTS) as written:
            torch.save(encoder.state_dict(), written)
        _write_features(run, encoder, found, plain)
    else:
        encoder.load_state_dict(_saved(out / _WEIGHTS))
    features = np.load(plain, mmap_mode="r")
    if not config.image.views:
        return PictureFeatures(features, features[asked], asked)
    files = [data.picture_files[picture] for picture in asked]
    return PictureFeatures(features, _views(run, shop, encoder, files), asked)


def load_given(run: Run) -> nn.Module | None:
    """The given encoder of a finished run; None where none was given, or where no picture was read."""
    config, out = run.config, run.folder
    if (out / _OLD_WEIGHTS).is_file():
        raw = _bare(config)
        raw.load_state_dict(_saved(out / _OLD_WEIGHTS))
        return raw.eval()
    if not (out / _WEIGHTS).is_file():
        return None
    raw = OnnxEncoder(out / _GRAPH) if config.image.given == "onnx" else _bare(config)
    encoder = GivenEncoder(raw, raw_width(config), config.image.dims)
    encoder.load_state_dict(_saved(out / _WEIGHTS))
    return encoder.eval()


def raw_width(config: Config) -> int:
    """Width of what a given encoder says, before it is cut down."""
    image = config.image
    if image.shape is not None:
        return image.shape.projected or image.shape.width
    for known in (image.cnn_shape, image.onnx_spec):
        if known is not None:
            return known.width
    raise AssertionError("no encoder was given")


def _products(run: Run, pictures: I64) -> tuple[I64, I64]:
    """Products, and which of ``pictures`` ``[n]`` show each: its own, and those that led to a click on it.

    A picture that led to clicks on several products is of none of them.
    """
    items, shown = labelled(run.data, run.config.image.max_pictures, run.config.seed)
    known = np.isin(shown, pictures) & (np.bincount(shown, minlength=1)[shown] == 1)
    return items[known], np.searchsorted(pictures, shown[known])


def _begin(run: Run, pretrained: Pretrained) -> GivenEncoder:
    image, out = run.config.image, run.folder
    raw: nn.Module
    if image.given == "onnx":
        assert pretrained.onnx is not None
        assert image.onnx_spec is not None
        if not (out / _GRAPH).is_file():
            write_encoder(pretrained.onnx, image.onnx_spec, out / _GRAPH)
        raw = OnnxEncoder(out / _GRAPH, run.config.threads)
    else:
        raw = pretrained.encoder(run.config)
    return GivenEncoder(raw, raw_width(run.config), image.dims).eval()


def _bare(config: Config) -> nn.Module:
    image = config.image
    if image.cnn_shape is not None:
        return PretrainedCnn(image.cnn_shape)
    assert image.shape is not None
    return PretrainedVit(image.shape, config.picture)


def _saved(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return found


@torch.no_grad()
def _write_features(run: Run, encoder: GivenEncoder, raw: F32, path: Path) -> None:
    def fill(target: F32, rows: slice) -> None:
        target[rows, 0] = encoder.head(torch.from_numpy(np.array(raw[rows]))).numpy()

    path.unlink(missing_ok=True)  # of components that were fitted by a process that was killed
    shape = (len(raw), 1, run.config.picture.feature_dim)
    stored_array(path, np.float32, shape, fill, 4096)


def _views(run: Run, shop: Shop, encoder: GivenEncoder, files: list[str]) -> F32:
    """The plain feature of each query picture, then augmented ones: float32 ``[n, 1 + views, P]``."""
    config, side = run.config, run.config.picture.side
    encoder = encoder.to(run.device)

    @torch.no_grad()
    def fill(target: F32, rows: slice) -> None:
        pixels = torch.from_numpy(read_pixels(shop, files[rows], side))
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + rows.start)
        target[rows, 0] = encoder(pixels.to(run.device)).cpu().numpy()
        for view in range(1, 1 + config.image.views):
            changed = ((augment(as_float(pixels), config.image, generator) + 1.0) * 127.5).round()
            shown = changed.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
            target[rows, view] = encoder(shown.contiguous().to(run.device)).cpu().numpy()

    shape = (len(files), 1 + config.image.views, config.picture.feature_dim)
    path = run.folder / "query_picture_features.npy"
    found = stored_array(path, np.float32, shape, fill, _CHUNK, stage_progress(run.progress, "picture views"))
    encoder.cpu()
    return found
