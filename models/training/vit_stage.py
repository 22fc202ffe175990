"""Stage 0 with a pretrained ViT: it runs once over the pictures and stays frozen; nothing is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from artifacts.shop.shop import Shop
from common.files import replacing
from models.towers.pretrained_vit import PretrainedVit
from models.training.features import PictureFeatures
from models.training.pictures import write_pixels
from models.training.pretrained.cache import FeatureCache, vit_features
from models.training.pretrained.vit import load_vit
from models.training.run import Run

_WEIGHTS = "vit.pt"
#: Pictures whose pixels are kept for the export's parity check.
_SAMPLES = 32


def pretrained_pictures(run: Run, shop: Shop, folder: Path, cache: Path | None) -> PictureFeatures:
    """Features of all pictures, and the ViT's weights in the run folder.

    *Inferred*: a query picture has its plain feature alone. The small encoder also gets augmented views,
    because it is trained on the very pictures that it then reads; a pretrained ViT is not. ``cache`` is where
    features are kept by picture hash; the run folder where None.

    Raises:
        PretrainedError: the folder's weights do not fit its configuration.
        DataError: a picture cannot be read.
    """
    config, data, out = run.config, run.data, run.folder
    assert config.image.shape is not None
    vit = load_vit(folder, config.image.shape, config.picture)
    if not (out / _WEIGHTS).is_file():
        with replacing(out / _WEIGHTS) as written:
            torch.save(vit.state_dict(), written)
    write_pixels(run, shop, data.picture_files[:_SAMPLES])
    plain = out / "picture_features.npy"
    if not plain.is_file():
        name = f"{config.image.vit}.{config.picture.side}.bin"
        kept = FeatureCache((cache or out) / name, config.picture.feature_dim)
        files, side = data.picture_files, config.picture.side
        found = vit_features(vit, shop, files, side, kept, run.progress, run.device)
        with replacing(plain) as written:
            np.save(written, found[:, None])
    features = np.load(plain, mmap_mode="r")
    asked = data.query_pictures()
    return PictureFeatures(features, features[asked], asked)


def load_run_vit(run: Run) -> PretrainedVit:
    """The ViT of a finished run."""
    assert run.config.image.shape is not None
    vit = PretrainedVit(run.config.image.shape, run.config.picture)
    vit.load_state_dict(torch.load(run.folder / _WEIGHTS, map_location="cpu", weights_only=True))
    return vit.eval()
