"""The bundle: everything that training and serving must agree on, free of torch.

Text features, pixels and portraits are made by the same functions in training and in serving, so that there
is no train/serve skew. Shapes name E for the experts and d for the width of one::

    manifest     ``manifest.json``: dimensions, preprocessing, checksums, and the version they give
    loader       `Bundle`: reads a folder and refuses one that is not whole
    text         texts of queries and items ─► ids of tokens and n-grams
    pictures     picture files ─► pixels
    photos       picture features ─► the vectors that a search by pictures compares
    portrait     a user's behaviours ─► what the query fusion reads
    onnx_file    whether an ONNX file holds all of its weights
    graphs       opens and runs an ONNX graph
    signatures   names, types and axes of each graph's inputs and outputs
    towers       `QueryTower` and `ItemTower`: arrays in, arrays out
"""

from artifacts.bundle.graphs import Graph, open_graph
from artifacts.bundle.loader import Bundle, BundleError
from artifacts.bundle.manifest import Manifest, PictureSpec, TextSpec
from artifacts.bundle.photos import photo_vectors
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
    "photo_vectors",
]
