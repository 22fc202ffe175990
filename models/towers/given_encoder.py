"""A given image encoder as the towers see it: its features cut down to what varies in the shop, and even."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from common.arrays import F32, F64, I64

#: Share of the mean variance that is added to each component's, so that the last ones are no louder than
#: their noise allows. *Inferred*.
_FLOOR = 0.1


class GivenEncoder(nn.Module):
    """Pixels uint8 ``[B, S, S, 3]`` -> feature float32 ``[B, P]``, normalised by layer as always.

    Args:
        raw: the encoder as it was given, pixels -> ``[B, R]``.
        width: R.
        dims: P where it is cut down, 0 for P = R.
    """

    def __init__(self, raw: nn.Module, width: int, dims: int) -> None:
        super().__init__()
        self.raw, self.cut = raw, dims > 0
        self.register_buffer("centre", torch.zeros(width if dims else 0))
        self.register_buffer("components", torch.zeros(dims, width if dims else 0))
        self.out_norm = nn.LayerNorm(dims or width, elementwise_affine=False)
        self.centre: Tensor
        self.components: Tensor

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.raw(pixels))

    def head(self, raw: Tensor) -> Tensor:
        """Raw features ``[B, R]`` -> features ``[B, P]``."""
        raw = raw.to(self.centre.dtype)
        if self.cut:
            raw = (raw - self.centre) @ self.components.T
        result: Tensor = self.out_norm(raw)
        return result

    def fit(self, raw: F32, pairs: tuple[I64, I64] | None = None) -> None:
        """Take the principal components of raw features ``[n, R]``, each of about equal variance.

        Where there are fewer pictures than components, the others are zeros.

        Args:
            raw: of the shop's pictures.
            pairs: products and pictures ``[m]`` each, rows of ``raw``. With enough of them components are not
                even over all pictures but over those of one product: so a photo's light and place count for
                less than what tells products apart (linear discriminant analysis).
        """
        if not self.cut or not len(raw):
            return
        centre = raw.mean(axis=0, dtype=np.float64)
        away = raw - centre
        variance, vectors = np.linalg.eigh(away.T @ away / len(raw))
        best = np.argsort(-variance)[: len(self.components)]
        kept = variance[best].clip(min=0.0)
        # Signs of eigenvectors are free: the largest entry is positive, so that equal shops give equal bytes.
        turned = vectors[:, best] * np.sign(vectors[np.abs(vectors[:, best]).argmax(axis=0), best])
        scaled = turned / np.sqrt(kept + _FLOOR * max(kept.mean(), 1e-12))
        scaled[:, kept <= 1e-9 * kept.max(initial=0.0)] = 0.0
        if pairs is not None:
            scaled = scaled @ _within((away @ scaled)[pairs[1]], pairs[0])
        self.centre.copy_(torch.from_numpy(centre))
        self.components[: len(best)].copy_(torch.from_numpy(scaled.T.copy()))


def _within(found: F64, product: I64) -> F64:
    """What makes features even within products: ``[P, P]``, the identity where too few show it.

    ``found`` ``[m, P]`` are features of pictures, ``product`` ``[m]`` says whose each is.
    """
    width = found.shape[1]
    _, places, counts = np.unique(product, return_inverse=True, return_counts=True)
    if len(found) - len(counts) < width:
        return np.eye(width)
    means = np.zeros((len(counts), width))
    np.add.at(means, places, found)
    away = found - (means / counts[:, None])[places]
    spread = away.T @ away / (len(found) - len(counts))
    spread += _FLOOR * max(float(np.trace(spread)) / width, 1e-12) * np.eye(width)
    variance, vectors = np.linalg.eigh(spread)
    result: F64 = (vectors / np.sqrt(variance)) @ vectors.T
    return result
