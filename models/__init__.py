"""The MRSE towers: their training, export and evaluation, and the synthetic shop."""
