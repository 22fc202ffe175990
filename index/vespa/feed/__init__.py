"""Fills an embedding version over document/v1, and verifies it.

::

    source        what is fed, as numbered operations: an embeddings folder
    changes       the same of a file of changes
    follow        changes as they come, to every version; `lines` reads a pipe or a Redis Stream
    merged        the changes of one item, in whichever order they came
    live          changes while it is searched
    ledger        those of all items since the last folder, on disk: a folder does not undo them
    operations    puts, updates and removals of items, checked, and their requests
    feeder        in order for each item, as fast as Vespa takes them
      delivery      one operation, sent until there is an outcome
      window        how many requests may be under way
      journal       what is settled, on disk, so that a killed feed goes on
      report        what came of a feed
    document_lines  a folder as JSONL for Vespa's own feed client
    prune         takes out what left the catalogue
    verify        counts, sampled items, recall and latency, compared with the embeddings folder
      expected    what has to be there, by the folder and the ledger
      recall      of the graph against exact search, by the selectivity of filters
"""
