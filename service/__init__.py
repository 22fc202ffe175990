"""The online query side of MRSE Recall: encode a query, recall items, answer over HTTP."""
