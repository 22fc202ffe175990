"""Vespa's own code as judge and peer, see README.md beside this."""
