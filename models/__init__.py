"""The MRSE towers: their features, training, export and evaluation; shop data and the synthetic shop."""
