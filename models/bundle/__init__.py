"""The bundle: everything that training and serving must agree on, free of torch.

Text features, picture features and portraits are computed by the functions of this package on both sides,
so that there is one implementation and no train/serve skew.
"""

from models.bundle.graphs import Graph, open_graph
from models.bundle.loader import Bundle, BundleError
from models.bundle.manifest import Manifest, PictureSpec, TextSpec
from models.bundle.pictures import PictureError, decode_picture
from models.bundle.portrait import BEHAVIOURS, Behaviour, PortraitBatch, build_portraits
from models.bundle.text import ItemText, TextBatch, TextFeatures

__all__ = [
    "BEHAVIOURS",
    "Behaviour",
    "Bundle",
    "BundleError",
    "Graph",
    "ItemText",
    "Manifest",
    "PictureError",
    "PictureSpec",
    "PortraitBatch",
    "TextBatch",
    "TextFeatures",
    "TextSpec",
    "build_portraits",
    "decode_picture",
    "open_graph",
]
