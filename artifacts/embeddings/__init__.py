"""Embeddings folders: what ``mrse embed`` makes of a shop, and an index is built or Vespa fed from.

::

    folder   `EmbeddingsFolder` opens one: ids, attributes, vectors and features of every item
    writer   `EmbeddingsWriter` writes one beside its place, and goes on after a kill

An embeddings folder holds, with a row for each item in the order of the shop's items file::

    meta.json        the bundle's version, the shop's fingerprint, rows and widths
    schema.json      the attributes and their types
    items.parquet    ``id``, ``category`` and a column for each attribute
    embeddings.npy   float16 ``[N, dim]``, unit length before rounding
    features.npy     float16 ``[N, experts, expert_dim]``, the item experts' outputs
    texts.parquet    ``id`` and a column for each text field, for search by words; optional
    pictures.npy     float16 ``[N, picture_dim]``, unit length, zeros without a picture; optional

The Parquet reader is imported when items are read or written: a server needs none.
"""

from artifacts.embeddings.folder import (
    LENGTH_TOLERANCE,
    Behaviours,
    EmbeddingsError,
    EmbeddingsFolder,
    EmbeddingsMeta,
)
from artifacts.embeddings.writer import EmbeddingsHeld, EmbeddingsWriter, check_target

__all__ = [
    "LENGTH_TOLERANCE",
    "Behaviours",
    "EmbeddingsError",
    "EmbeddingsFolder",
    "EmbeddingsHeld",
    "EmbeddingsMeta",
    "EmbeddingsWriter",
    "check_target",
]
