"""What tests, benchmarks and `make run-vespa` share; nothing of it is shipped."""
