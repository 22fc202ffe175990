"""What the stages leave in the run folder."""

from pathlib import Path

import numpy as np

from artifacts.bundle import Bundle
from artifacts.shop.shop import Shop
from models.embed import embed_shop


def test_what_training_left_embeds_as_the_graphs_do(
    shop: Shop, run: Path, bundle_path: Path, tmp_path: Path
) -> None:
    bundle = Bundle.load(bundle_path)
    known = np.load(run / "item_features.npy", mmap_mode="r")[0]
    embed_shop(shop, bundle, tmp_path / "graphs")
    embed_shop(shop, bundle, tmp_path / "known", known=known)
    for name in ("features.npy", "embeddings.npy"):
        one, other = (np.load(tmp_path / way / name).astype(np.float32) for way in ("graphs", "known"))
        np.testing.assert_allclose(one, other, atol=2e-3)
