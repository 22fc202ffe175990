"""Vespa at the socket, with faults to order."""
