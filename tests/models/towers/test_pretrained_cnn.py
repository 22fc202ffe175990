"""CNNs: padding, shapes, residuals; and a given encoder's features cut down to principal components."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models.towers.given_encoder import GivenEncoder
from models.towers.image_config import CnnShape
from models.towers.pretrained_cnn import MbConv, PretrainedCnn, SameConv
from tests.support.pretrained import LITE, RESNET

EVEN = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


@pytest.mark.parametrize("side", [6, 7])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (5, 2)])
def test_same_padding_is_larger_at_the_end(side: int, kernel: int, stride: int) -> None:
    conv = SameConv(2, 3, kernel, stride)
    x = torch.randn(1, 2, side, side)
    out = conv(x)
    places = -(-side // stride)
    assert out.shape[2:] == (places, places)
    # By hand: the window of place i starts at i * stride less the smaller half of what is missing.
    missing = max((places - 1) * stride + kernel - side, 0)
    wide = F.pad(x, (missing // 2, kernel, missing // 2, kernel))
    for row in range(places):
        window = wide[:, :, row * stride : row * stride + kernel, :kernel]
        torch.testing.assert_close(out[0, :, row, 0], torch.einsum("oikl,ikl->o", conv.weight, window[0]))


def test_a_block_adds_what_came_in_where_the_shapes_are_the_same() -> None:
    assert MbConv(4, 4, 3, 1, 6).residual
    assert not MbConv(4, 4, 3, 2, 6).residual
    assert not MbConv(4, 8, 3, 1, 6).residual
    block = MbConv(4, 4, 3, 1, 2).eval()
    torch.nn.init.zeros_(block._project_conv.weight)
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(block(x), x)


@pytest.mark.parametrize("shape", [LITE, RESNET], ids=["lite", "resnet"])
def test_features_are_as_wide_as_told_and_every_depth_counts_alike(shape: CnnShape) -> None:
    torch.manual_seed(0)
    cnn = PretrainedCnn(shape).eval()
    for module in cnn.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)  # or little would come through to the end
    pixels = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    found = cnn(pixels)
    assert found.shape == (3, shape.width)
    assert found.isfinite().all()
    widths = [part.shape[1] for part in cnn.net.maps(torch.zeros(1, 3, 64, 64))]
    for part in found.split(widths, dim=1):
        torch.testing.assert_close(part.square().sum(dim=1), torch.ones(3), atol=1e-3, rtol=1e-3)


def test_components_hold_what_varies() -> None:
    rng = np.random.default_rng(0)
    said = rng.normal(size=(200, 3)) * (9.0, 5.0, 3.0)
    raw = said @ np.linalg.qr(rng.normal(size=(20, 3)))[0].T + rng.normal(size=20)
    raw = (raw + 0.01 * rng.normal(size=raw.shape)).astype(np.float32)
    encoder = GivenEncoder(torch.nn.Identity(), 20, 3)
    encoder.fit(raw)
    with torch.no_grad():
        away = (torch.from_numpy(raw) - encoder.centre) @ encoder.components.T
    # Each component is one of the three, however it is signed.
    alike = np.abs(np.corrcoef(away.numpy().T, said.T)[:3, 3:])
    assert (alike.max(axis=1) > 0.97).all()
    # A share of the mean variance holds back the small ones.
    assert away.std(dim=0).max() < 1.2
    feature = encoder(torch.from_numpy(raw))
    torch.testing.assert_close(feature.mean(dim=1), torch.zeros(200), atol=1e-4, rtol=0)
    again = GivenEncoder(torch.nn.Identity(), 20, 3)
    again.fit(raw)
    assert torch.equal(encoder.components, again.components)


def test_photos_of_one_product_say_what_counts_for_less() -> None:
    rng = np.random.default_rng(0)
    product = np.repeat(np.arange(40), 10)
    # Light and place are loud in the photos of every product, what tells products apart is quiet.
    loud, quiet = np.split(np.linalg.qr(rng.normal(size=(20, 10)))[0].T, 2)
    own = rng.normal(size=(40, 5)) @ quiet
    raw = own[product] + 4.0 * rng.normal(size=(400, 5)) @ loud + 0.2 * rng.normal(size=(400, 20))
    raw = raw.astype(np.float32)

    def found(pairs: tuple[np.ndarray, np.ndarray] | None) -> float:
        encoder = GivenEncoder(torch.nn.Identity(), 20, 10)
        encoder.fit(raw, pairs)
        feature = encoder(torch.from_numpy(raw)).numpy()
        feature /= np.linalg.norm(feature, axis=1, keepdims=True)
        near = feature @ feature.T - 9.0 * np.eye(400)
        return float((product[near.argmax(axis=1)] == product).mean())

    every = np.arange(400)
    assert found((product, every)) > found(None) + 0.2
    # Too few photos beside the first of each product show nothing: as it is without them.
    few = np.append(np.unique(product, return_index=True)[1], [1, 11])
    assert found((product[few], few)) == found(None)
    # A product's photo may stand at any place.
    turned = rng.permutation(400)
    assert found((product[turned], turned)) == found((product, every))


def test_fewer_pictures_than_components_leave_zeros() -> None:
    encoder = GivenEncoder(torch.nn.Identity(), 6, 5)
    encoder.fit(np.zeros((0, 6), dtype=np.float32))
    assert encoder.components.abs().max() == 0
    encoder.fit(np.eye(2, 6, dtype=np.float32))
    assert (encoder.components.abs().amax(dim=1) > 0).sum() == 1
    assert encoder(torch.randn(2, 6)).isfinite().all()
