"""Embeddings folders: what ``mrse embed`` makes of a shop, and an index is built or Vespa fed from.

::

    folder   `EmbeddingsFolder` opens one: ids, attributes, vectors and features of every item
    writer   `EmbeddingsWriter` writes one beside its place and resumes after a kill;
             `write_embeddings` does it at once
    files    names and formats of the files, which the two share

An embeddings folder holds, with a row for each item in the order of the shop's items file::

    meta.json        the bundle's version, the shop's fingerprint, rows and widths
    schema.json      the attributes and their types
    items.parquet    ``id``, ``category`` and a column for each attribute
    embeddings.npy   float16 ``[N, dim]``, unit length before rounding
    features.npy     float16 ``[N, experts, expert_dim]``, the item experts' outputs

The Parquet reader is imported when items are read or written: a server needs none.
"""

from artifacts.embeddings.files import EmbeddingsError, EmbeddingsMeta
from artifacts.embeddings.folder import LENGTH_TOLERANCE, EmbeddingsFolder
from artifacts.embeddings.writer import EmbeddingsWriter, write_embeddings

__all__ = [
    "LENGTH_TOLERANCE",
    "EmbeddingsError",
    "EmbeddingsFolder",
    "EmbeddingsMeta",
    "EmbeddingsWriter",
    "write_embeddings",
]
