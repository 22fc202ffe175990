"""The tower as a BentoML service; its command wants it to be importable."""

from __future__ import annotations

import os
from typing import Any

import bentoml

from benchmarks.encoder_servers import MAX_BATCH, Tower


@bentoml.service(workers=1, traffic={"timeout": 60})
class Encoder:
    """Queries to experts."""

    def __init__(self) -> None:
        self.tower = Tower(os.environ["MRSE_BENCH_BUNDLE"], os.environ["MRSE_BENCH_GRAPH"])

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=1000, route="/encode")
    def encode(self, queries: list[str]) -> list[Any]:
        """One batch."""
        return list(self.tower.run(queries).tolist())
