"""What is left of a picture on its way through the model, on a synthetic shop, whose truth is known.

A linear probe (multinomial logistic regression) reads category, colour, pattern and logo from

- the encoder's feature,
- VBert's output for the picture alone, and for the item with its text,
- the item's embedding, of the picture alone and of the item as it is.

Each is fitted on half of the items with a picture and measured on the other half, and stands beside the
share of the most frequent value. Own photos: the share of items that their own picture finds first.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from artifacts.bundle import Bundle, ItemText, ItemTower, PortraitBatch, QueryTower
from artifacts.shop.shop import Shop
from benchmarks.report import Claim, ProgressLines, arguments, finish
from common.arrays import F32, I64
from models.pictures import PictureFeatures
from models.synthetic.attributes import ATTRIBUTES
from models.synthetic.truth import read_items

READ = ("category", "colour", "pattern", "logo")
#: Strength of the probe's penalty, and what VBert may lose of what the encoder's feature tells.
_PENALTY, ALLOWED = 1e-3, 0.05
_tell = ProgressLines()


def probe(features: F32, labels: I64) -> float:
    """Accuracy of a linear probe from ``[n, p]`` on the second half of ``[n]``, fitted on the first."""
    half = len(features) // 2
    mean, spread = features[:half].mean(axis=0), features[:half].std(axis=0) + 1e-6
    x = torch.from_numpy(((features - mean) / spread).astype(np.float32))
    values, codes = np.unique(labels, return_inverse=True)
    y = torch.from_numpy(codes)
    layer = torch.nn.Linear(x.shape[1], len(values))
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimiser = torch.optim.LBFGS(layer.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        off = torch.nn.functional.cross_entropy(layer(x[:half]), y[:half])
        off = off + _PENALTY * layer.weight.square().sum()
        off.backward()
        return off

    optimiser.step(loss)
    with torch.no_grad():
        return float((layer(x[half:]).argmax(dim=1) == y[half:]).float().mean())


def features_of(bundle: Bundle, shop: Shop, limit: int) -> tuple[dict[str, F32], F32, I64]:
    """By place on the way ``[n, p]``; embeddings of the catalogue; rows ``[n]`` that are looked at."""
    items = list(shop.items())
    shown = np.array([row for row, item in enumerate(items) if item.picture is not None])
    rows = np.sort(np.random.default_rng(0).permutation(shown)[:limit])
    rows = np.random.default_rng(1).permutation(rows)
    tower = ItemTower(bundle)
    pictures = PictureFeatures(shop, tower, 1)
    own = pictures.features([items[row].picture for row in rows])
    seen = np.stack([feature for feature in own if feature is not None])
    place = bundle.manifest.dimensions.experts.index("vbert")
    texts = [ItemText(items[row].title, items[row].category, items[row].description) for row in rows]
    alone = tower.features([ItemText("")] * len(rows), own)
    both = tower.features(texts, own)
    every = tower.features(
        [ItemText(item.title, item.category, item.description) for item in items],
        pictures.features([item.picture for item in items]),
    )
    found = {
        "the encoder's feature": seen,
        "VBert, the picture alone": alone[:, place],
        "VBert, the item": both[:, place],
        "the embedding, the picture alone": tower.embeddings(alone),
        "the embedding, the item": tower.embeddings(both),
    }
    return found, tower.embeddings(every), rows


def own_photos(bundle: Bundle, pictures: F32, catalogue: F32, rows: I64) -> dict[str, float]:
    """How often an item's own picture finds it: shares at the first place and among ten."""
    tower = QueryTower(bundle)
    experts = tower.experts(bundle.text.queries([""] * len(rows)), list(pictures))
    dims = bundle.manifest.dimensions
    empty = np.zeros((len(rows), 1, *dims.shape), dtype=np.float32)
    nothing = np.zeros((len(rows), 1), dtype=np.int64)
    portraits = PortraitBatch(empty, nothing, nothing.astype(np.float32))
    scores = tower.fuse(experts, portraits).embedding @ catalogue.T
    ahead = (scores > scores[np.arange(len(rows)), rows][:, None]).sum(axis=1)
    return {"R@1": float((ahead < 1).mean()), "R@10": float((ahead < 10).mean())}


def main() -> int:
    """Measure, print, write."""
    options = arguments(
        "What is left of a picture on its way through the model",
        [
            ("--shop", {"type": Path, "required": True, "help": "a shop of `mrse shop make`"}),
            ("--bundle", {"type": Path, "required": True, "help": "a bundle that was trained on it"}),
            ("--items", {"type": int, "default": 4000, "help": "items with a picture, at most"}),
        ],
    )
    limit = 200 if options.quick else options.items
    found, catalogue, rows = features_of(Bundle.load(options.bundle), Shop.open(options.shop), limit)
    codes = read_items(options.shop).codes
    half = len(rows) // 2
    table: dict[str, dict[str, float]] = {}
    for name in READ:
        labels = codes[list(ATTRIBUTES).index(name), rows].astype(np.int64)
        table[name] = {"the most frequent": float(np.bincount(labels[half:]).max() / (len(rows) - half))}
        for place, features in found.items():
            table[name][place] = probe(features, labels)
            _tell(f"{name}, {place}", 1, 1)
    for name, figures in table.items():
        print(f"{name:<10}" + "   ".join(f"{place} {value:.3f}" for place, value in figures.items()))
    photos = own_photos(Bundle.load(options.bundle), found["the encoder's feature"], catalogue, rows)
    print(f"own photos: R@1 {photos['R@1']:.3f}, R@10 {photos['R@10']:.3f}")
    lost = {
        name: figures["the encoder's feature"] - figures["VBert, the picture alone"]
        for name, figures in table.items()
    }
    claims = [
        Claim.at_most(f"{name}: what VBert loses of what the encoder saw", value, ALLOWED)
        for name, value in lost.items()
    ]
    report: dict[str, Any] = {"probes": table, "own photos": photos, "items": len(rows)}
    return finish(claims, report, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
