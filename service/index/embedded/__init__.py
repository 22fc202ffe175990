"""The embedded engine: an item index in this process, over memory-mapped files.

`build.build_index` makes an index folder from an embeddings folder, `EmbeddedIndex` serves it::

    build         embeddings folder ─► index folder (manifest with checksums; atomic)
    index         the async face: deadlines, one segment
      workers       threads behind a bounded queue
      segment       one immutable set of items, and the search over it
        vectors       fp16 vectors in faiss (the one module that knows faiss)
        ids           row ─► id and id ─► row
        attributes    columns that answer a filter with a mask; `columns` makes them
        selection     what a filter left, cached, in the form that the search takes

Building is not imported here: a server does not need the Parquet reader.
"""

from service.index.embedded.index import EmbeddedIndex
from service.index.embedded.manifest import IndexDamaged, IndexManifest

__all__ = ["EmbeddedIndex", "IndexDamaged", "IndexManifest"]
