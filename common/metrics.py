"""What the Prometheus metrics of all processes have in common."""

#: Every metric's name begins with it.
NAMESPACE = "mrse"
#: Where the processes of a service count together; prometheus-client reads it when it is imported.
SHARED_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
