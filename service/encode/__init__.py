"""Queries and pictures to vectors, by the bundle's graphs."""
