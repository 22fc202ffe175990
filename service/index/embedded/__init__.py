"""The embedded engine: an item index in this process, over memory-mapped files.

`build_index` makes an index folder from an embeddings folder, `EmbeddedIndex` serves it::

    build     embeddings folder ─► index folder (manifest with checksums; atomic)
    index     the async face: worker threads, deadlines, bounded queue
      segment   one immutable set of items; `search` walks it
        vectors     fp16 vectors in faiss (the one module that knows faiss)
        ids         row ─► id and id ─► row
        attributes  columns that answer a filter with a mask
        selection   what a filter left, cached, and how the search takes it
"""

from service.index.embedded.build import EmbeddingsRefused, build_index
from service.index.embedded.index import EmbeddedIndex
from service.index.embedded.manifest import IndexDamaged, IndexManifest

__all__ = ["EmbeddedIndex", "EmbeddingsRefused", "IndexDamaged", "IndexManifest", "build_index"]
