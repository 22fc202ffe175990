"""The processes of the service: one process, or a parent that watches over several workers.

::

    server   `run`: checks, then one process, or workers that uvicorn starts again when they end
    forks    the fork server that workers come from

Every worker reads the settings itself, which loads the extensions, and makes its own `service.app`. Workers
share the port, the pages of their libraries, the files of the index, and the folder that they count in.
"""
