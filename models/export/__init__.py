"""A finished run becomes a bundle."""
