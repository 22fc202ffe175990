"""Stage 0 with a pretrained ViT: run once over the pictures and frozen; nothing is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from artifacts.shop.shop import Shop
from common.progress import Progress
from models.dataset.training_data import TrainingData
from models.towers import Config
from models.towers.pretrained_vit import PretrainedVit
from models.training.features import PictureFeatures
from models.training.pictures import write_pixels
from models.training.pretrained.cache import FeatureCache, vit_features
from models.training.pretrained.vit import load_vit

_WEIGHTS = "vit.pt"
#: Pictures whose pixels are kept for the export's parity check.
_SAMPLES = 32


def pretrained_pictures(
    folder: Path,
    shop: Shop,
    data: TrainingData,
    out: Path,
    progress: Progress,
    device: str,
    cache: Path | None = None,
) -> PictureFeatures:
    """Features of all pictures, and the ViT's weights in the run folder.

    *Inferred*: a query picture has its plain feature alone. The augmented views of the small encoder make up
    for its being trained on the very pictures it then reads, which a pretrained ViT is not.

    Args:
        folder: the ViT's folder.
        shop: where the pictures are read from.
        data: the prepared run.
        out: the run folder.
        progress: called with the pictures that are done.
        device: where the ViT runs.
        cache: where features are kept by picture hash; the run folder where None.

    Raises:
        PretrainedError: the folder's weights do not fit its configuration.
        DataError: a picture cannot be read.
    """
    config = data.config
    assert config.image.shape is not None
    vit = load_vit(folder, config.image.shape, config.picture)
    if not (out / _WEIGHTS).is_file():
        temporary = out / f"{_WEIGHTS}.tmp"
        torch.save(vit.state_dict(), temporary)
        temporary.replace(out / _WEIGHTS)
    if not (out / "pixels.npy").is_file():
        files = data.picture_files[:_SAMPLES]
        write_pixels(shop, files, config.picture.side, out / "pixels.npy", progress)
    asked = np.unique(np.asarray(data.picture)[np.asarray(data.picture) >= 0]).astype(np.int64)
    plain = out / "picture_features.npy"
    if not plain.is_file():
        name = f"{config.image.vit}.{config.picture.side}.bin"
        kept = FeatureCache((cache or out) / name, config.picture.feature_dim)
        found = vit_features(vit, shop, data.picture_files, config.picture.side, kept, progress, device)
        temporary = plain.with_suffix(".tmp.npy")
        np.save(temporary, found[:, None])
        temporary.replace(plain)
    features = np.load(plain, mmap_mode="r")
    return PictureFeatures(features, features[asked], asked)


def load_run_vit(run: Path, config: Config) -> PretrainedVit:
    """The ViT of a finished run."""
    assert config.image.shape is not None
    vit = PretrainedVit(config.image.shape, config.picture)
    vit.load_state_dict(torch.load(run / _WEIGHTS, map_location="cpu", weights_only=True))
    return vit.eval()
