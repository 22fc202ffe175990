"""Item indexes, whatever searches them::

    port        `ItemIndex` and what else an engine may offer; `Engine`, which opens one
    filters     what a request's filters mean, for every engine
    engines     the engines by name
    embedded    in this process, over files
    vespa       in a Vespa application, over HTTP

An engine's libraries are loaded when one of its indexes is opened.
"""
