"""The processes of the service: `server` runs one, or a parent that watches over several workers.

Every worker reads the settings itself, which loads the extensions, and makes its own `service.app`. Workers
share the port, the pages of their libraries, the files of the index, and the folder that they count in.
"""
