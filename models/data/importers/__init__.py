"""Public data sets to shops."""
