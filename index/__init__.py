"""Item indexes, whatever searches them::

    port        `ItemIndex` and how else an index may be asked
    changes     puts, updates and removals, and `WritableIndex`, which takes them
    watching    what an index tells of its files, and of calls to its servers
    engine      `Engine`, which opens indexes of one kind, and what an opened one offers
    filters     what a request's filters mean, for every engine
    engines     the engines by name
    embedded    in this process, over files
    vespa       in a Vespa application, over HTTP

An engine's libraries are loaded when one of its indexes is opened.
"""
