"""What stops a producer, told apart by type."""

from __future__ import annotations


class ProduceError(Exception):
    """Redis cannot be used; what was written stays, and starting again goes on from there."""
