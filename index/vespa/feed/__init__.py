"""Feeding, deploying and checking an embedding version."""
