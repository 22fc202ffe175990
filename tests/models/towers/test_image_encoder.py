"""The image encoder."""

import torch

from models.towers import ImageEncoder, preset

CONFIG = preset("tiny")


D, E, P = CONFIG.dimensions.expert_dim, CONFIG.dimensions.embedding_dim, CONFIG.picture.feature_dim


def test_image_encoder_reads_bytes() -> None:
    encoder = ImageEncoder(CONFIG.image, CONFIG.picture).eval()
    side = CONFIG.picture.side
    pixels = torch.randint(0, 256, (2, side, side, 3), dtype=torch.uint8)
    feature = encoder(pixels)
    assert feature.shape == (2, P)
    torch.testing.assert_close(feature.mean(dim=1), torch.zeros(2), atol=1e-5, rtol=0)
