"""The ``mrse`` command line."""
