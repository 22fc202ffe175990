"""The embedded engine: an item index in this process, over memory-mapped files.

`build.build_index` makes an index folder from an embeddings folder, `index.EmbeddedIndex` serves it::

    engine        the engine as `index.engines` knows it, with its table of settings
    build         embeddings folder ─► index folder (manifest with checksums; atomic)
      base          writes a base: `clusters` its vectors into lists, `calibrate`s the search of them
      store         the folder's layout, its locks, and how one base takes another's place
    rebuild       a base and its changes ─► a new base, beside running servers
    index         the async face: deadlines, bounded threads (`workers`)
      writer        group commit of changes, which `changes` checks and completes
      live          a base and the changes since, followed through the log
        log           what was acknowledged, on disk
        delta         the items that were put since, in memory
        segment       one immutable set of items, and the search over it
          vectors       fp16 vectors in faiss, in lists
          probe         which lists to search, and when enough was seen
          selection     what a filter left, cached, in the form that the search takes
          ids           row ─► id and id ─► row
          attributes    columns that answer a filter with a mask; `columns` makes them

Building is not imported here: a server does not need the Parquet reader.
"""
