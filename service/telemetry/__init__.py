"""What operators see: `metrics` (Prometheus), `tracing` (OpenTelemetry) and `logs` (JSON lines)."""
