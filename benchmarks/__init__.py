"""The measured claims: ``python -m benchmarks.NAME [--quick] --json FILE``."""
