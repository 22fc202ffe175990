"""One server of the encoder benchmark: ``python encoder_servers.py NAME BUNDLE GRAPH PORT``.

All serve the same tower on the CPU with one thread of onnxruntime in one model process, text features
included, JSON in and out: a query to its experts ``[3, d]``. Peers run in an environment with
``requirements/bench.txt`` and batch as their documentation shows, at most 32 and without a delay where they
allow that.
"""

# No `from __future__ import annotations`: frameworks could not resolve names that are local to a function.
import sys
from pathlib import Path
from typing import Any

import numpy as np

MAX_BATCH = 32


class Tower:
    """The query experts with their text features, run on lists of queries."""

    def __init__(self, bundle: str, graph: str) -> None:
        from artifacts.bundle import Bundle, QueryTower

        precision: Any = "int8" if ".int8." in graph else "fp32"
        self._tower = QueryTower(Bundle.load(Path(bundle)), precision=precision)

    def run(self, queries: list[str]) -> np.ndarray:
        """Experts float32 ``[len(queries), 3, d]``."""
        return self._tower.experts(self._tower.bundle.text.queries(queries))


def ours(bundle: str, graph: str, port: int) -> None:
    """The service's encoder and its lean way through FastAPI, without caches."""
    import orjson
    import uvicorn
    from fastapi import FastAPI, Request, Response
    from pydantic import BaseModel

    from artifacts.bundle import Bundle
    from artifacts.bundle.text import normalise
    from service.query.encoder import QueryEncoder
    from service.settings import BundleSettings, Encoder

    class Query(BaseModel):
        query: str

    precision: Any = "int8" if ".int8." in graph else "fp32"
    settings = BundleSettings(precision=precision)
    encoder = QueryEncoder(Bundle.load(Path(bundle)), settings, Encoder(max_batch=MAX_BATCH))
    app = FastAPI()

    @app.post("/encode")
    async def encode(request: Request) -> Response:
        parsed = Query.model_validate_json(await request.body())
        experts = await encoder.experts(normalise(parsed.query), None)
        body = orjson.dumps({"experts": experts.astype(np.float32)}, option=orjson.OPT_SERIALIZE_NUMPY)
        return Response(body, media_type="application/json")

    uvicorn.run(app, port=port, log_level="warning", loop="uvloop", http="httptools", access_log=False)


def fastapi(bundle: str, graph: str, port: int) -> None:
    """Plain FastAPI as its tutorial has it: models in and out, a run a request on the thread pool."""
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    tower = Tower(bundle, graph)

    class Query(BaseModel):
        query: str

    class Answer(BaseModel):
        experts: list[list[float]]

    app = FastAPI()

    @app.post("/encode")
    def encode(query: Query) -> Answer:
        return Answer(experts=tower.run([query.query])[0].tolist())

    uvicorn.run(app, port=port, log_level="warning", access_log=False)


def litserve(bundle: str, graph: str, port: int) -> None:
    """LitServe: batches in a worker process."""
    from benchmarks.encoder_lit import serve

    serve(bundle, graph, port)


def bentoml(bundle: str, graph: str, port: int) -> None:
    """BentoML: adaptive batching in one worker."""
    import os

    os.environ |= {"MRSE_BENCH_BUNDLE": bundle, "MRSE_BENCH_GRAPH": graph}
    arguments = ["serve", "benchmarks.encoder_bento:Encoder", "--host", "127.0.0.1", "--port", str(port)]
    os.execv(sys.executable, [sys.executable, "-m", "bentoml", *arguments])


def pytriton(bundle: str, graph: str, port: int) -> None:
    """Triton with a Python model: its dynamic batcher without a delay."""
    from pytriton.decorators import batch
    from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
    from pytriton.triton import Triton, TritonConfig

    tower = Tower(bundle, graph)

    @batch
    def infer(query: np.ndarray) -> dict[str, np.ndarray]:
        return {"experts": tower.run([text.decode() for text in query[:, 0].tolist()])}

    config = TritonConfig(http_address="127.0.0.1", http_port=port, allow_grpc=False, allow_metrics=False)
    with Triton(config=config) as triton:
        triton.bind(
            model_name="encode",
            infer_func=infer,
            inputs=[Tensor(name="query", dtype=bytes, shape=(1,))],
            outputs=[Tensor(name="experts", dtype=np.float32, shape=(3, -1))],
            config=ModelConfig(
                max_batch_size=MAX_BATCH, batcher=DynamicBatcher(max_queue_delay_microseconds=0)
            ),
            strict=False,
        )
        triton.serve()


SERVERS = {"ours": ours, "fastapi": fastapi, "litserve": litserve, "bentoml": bentoml, "pytriton": pytriton}


if __name__ == "__main__":
    SERVERS[sys.argv[1]](sys.argv[2], sys.argv[3], int(sys.argv[4]))
