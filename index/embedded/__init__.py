"""The embedded engine: an item index in this process, over memory-mapped files.

`build.build_index` makes an index folder from an embeddings folder, `index.EmbeddedIndex` serves it::

    engine          the engine as `index.engines` knows it, with its table of settings
    build           embeddings folder ─► index folder (manifest with checksums; atomic)
      base            writes the files of a base, its vectors in `lists`, and `calibrate`s their search
      store           the folder's layout, its locks, and how one base takes another's place
    rebuild         a base and its changes ─► a new base, beside running servers
    apply           files of changes ─► an index, beside running servers
    verify          every byte of an index against what was written
    snapshot        an index at one point ─► a folder, and back
    index           the index as it serves: what is asked of it, and changes beside
      readable        what is asked, within deadlines: on the event loop, or on bounded threads (`workers`)
      nearest         the best items of the base and of what was put since, as of a state
      stored          what is held of items by their ids, as of a state
      upkeep          scrubs on a schedule
      rebuilder       rebuilds by itself after many changes, and spaces out what fails
      writer          group commit of changes
        checks          whether they fit the index, and as what they are kept
        changes         the records that they become, with whole items
      live            a `state` (a base and the changes since), followed through the log
        log             what was acknowledged, on disk, in `frames` of `records`, chained by digests
          note            how far it was acknowledged
          old_log         reads that of format 1
        repair          what is done about a log that is not as it was left
        write_buffer    the items that were put since, in memory
        segment         the base: an immutable set of items, with tombstones
          top             the rows with the largest values of a number attribute
          pictures        the picture features of those that have one, in rows of their own
          searched        vectors in lists, searched as planned
          vectors         fp16 vectors in faiss, in lists
          probe           which lists to search, and when enough was seen
          selection       the rows that a filter accepts, cached, in the form that the search takes
          ids             row ─► id and id ─► row
          attributes      columns that answer a filter with a mask; `columns` makes them
          forward         what a row holds of an attribute
          segment_words   the `words` of its `texts`, and the best rows for some of them by `bm25`
    lexical         searches by words: those of the base, and of `buffer_words` for what was put since

Building is not imported by `index`: a server does not need the Parquet reader.
"""
