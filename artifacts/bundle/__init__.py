"""The bundle: everything that training and serving must agree on, free of torch.

Text features, picture features and portraits are computed by the functions of this package on both sides,
so that there is one implementation and no train/serve skew.
"""

from artifacts.bundle.graphs import Graph, open_graph
from artifacts.bundle.loader import Bundle, BundleError
from artifacts.bundle.manifest import Manifest, PictureSpec, TextSpec
from artifacts.bundle.pictures import PictureError, decode_picture
from artifacts.bundle.portrait import Behaviour, PortraitBatch, build_portraits
from artifacts.bundle.text import ItemText, TextBatch, TextFeatures
from artifacts.bundle.towers import ItemTower, QueryTower

__all__ = [
    "Behaviour",
    "Bundle",
    "BundleError",
    "Graph",
    "ItemText",
    "ItemTower",
    "Manifest",
    "PictureError",
    "PictureSpec",
    "PortraitBatch",
    "QueryTower",
    "TextBatch",
    "TextFeatures",
    "TextSpec",
    "build_portraits",
    "decode_picture",
    "open_graph",
]
