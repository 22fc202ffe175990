"""The cache of query experts: in process, then Redis, each value computed once."""
