"""What the Prometheus metrics of all processes have in common."""

#: Every metric's name begins with it.
NAMESPACE = "mrse"
