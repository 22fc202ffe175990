"""Vespa as the item index: query client, rules, feeding and deployment."""
