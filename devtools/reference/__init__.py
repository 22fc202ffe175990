"""Writes the reference pages from the code; `python -m devtools.reference` writes all of them.

::

    keys        the keys of a settings or configuration class, with what the comments above them say
    settings    docs/reference/settings.md: every setting of the service
    config      docs/reference/config.md: every ``--set`` key of training, and what the presets change
    commands    docs/reference/cli.md: every command and option
    api         docs/reference/api.md: every call, from the OpenAPI document, with curl and a recorded answer
    answers     asks a service for these answers, and keeps them
    errors      parts of docs/reference/errors.md: kinds of problems, words of ``degraded``
    files       parts of docs/reference/files.md: columns and folders, from docstrings
    results     the tables of docs/measured.md, from benchmarks/results/
    marked      fills the marked parts of a page that people write
"""
