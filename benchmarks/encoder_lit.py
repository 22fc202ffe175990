"""The tower as a LitServe API; its worker process wants to import the class."""

# No `from __future__ import annotations`: LitServe reads them as they are.
from typing import Any

import litserve
import numpy as np

from benchmarks.encoder_servers import MAX_BATCH, Tower


class Encoder(litserve.LitAPI):
    """Queries to experts."""

    def __init__(self, bundle: str, graph: str) -> None:
        super().__init__(max_batch_size=MAX_BATCH, batch_timeout=0.0, api_path="/encode")
        self._where = bundle, graph

    def setup(self, device: str) -> None:
        """In the worker."""
        self.tower = Tower(*self._where)

    def decode_request(self, request: dict[str, Any]) -> str:
        """One request."""
        return str(request["query"])

    def batch(self, inputs: list[str]) -> list[str]:
        """As they are."""
        return inputs

    def predict(self, x: list[str]) -> np.ndarray:
        """One batch."""
        return self.tower.run(x)

    def unbatch(self, output: np.ndarray) -> list[np.ndarray]:
        """Its rows."""
        return list(output)

    def encode_response(self, output: np.ndarray) -> dict[str, Any]:
        """One answer."""
        return {"experts": output.tolist()}


def serve(bundle: str, graph: str, port: int) -> None:
    """Serve."""
    server = litserve.LitServer(Encoder(bundle, graph), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="warning")
