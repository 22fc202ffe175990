"""Query to items: two routes side by side, merged."""
