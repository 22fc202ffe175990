"""A shop's own files: catalogue and events as Parquet, CSV or JSONL, read in bounded memory."""
