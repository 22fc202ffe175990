"""The processes of the service: one, or several workers."""
