"""``/livez``, ``/readyz``, ``/version``, ``/metrics``."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response

from common.build import service_version
from index.port import IndexUnavailable
from service.errors import NotReady
from service.http.columnar import json_response
from service.http.documentation import KEY_PROBLEMS, PROBLEM_503
from service.http.requests import runtime_of
from service.http.routing import RawRoute
from service.telemetry.exposition import content_type, takes_open


async def get_livez(request: Request) -> Response:
    """200 as long as the process answers."""
    return json_response({"status": "ok"})


async def get_readyz(request: Request) -> Response:
    """503 until bundle and index are loaded, and while the model or the index fails; it says why."""
    health = runtime_of(request).health
    if not health.ready:
        raise NotReady("; ".join(health.reasons))
    return json_response({"status": "ready"})


async def get_version(request: Request) -> Response:
    """Versions of the service and of what each arm of ``towers`` answers with.

    Who may not choose arms is told those that anybody can meet, and no weights.
    """
    runtime = runtime_of(request)
    may_choose = "experiments" in runtime.guard.caller(request.scope).scopes
    shown = runtime.deployments.keys() if may_choose else runtime.experiments.open_towers()
    towers = {}
    for arm, deployment in runtime.deployments.items():
        if arm not in shown:
            continue
        index: dict[str, Any] = {"version": deployment.index.version}
        try:
            stats = await deployment.index.stats()
            index |= {"engine": stats.engine, "kind": stats.kind, "items": stats.items}
        except IndexUnavailable as error:
            index["unavailable"] = error.reason
        towers[arm] = {
            "bundle": deployment.bundle.version,
            "index": index,
            "precisions": {
                str(role): precision for role, precision in deployment.encoder.tower.precisions.items()
            },
            "providers": deployment.encoder.tower.providers,
        }
    answer: dict[str, Any] = {
        "service": service_version(),
        "ready": runtime.health.ready,
        "towers": towers,
    }
    if may_choose:
        answer["experiments"] = runtime.experiments.describe()
    return json_response(answer)


async def get_metrics(request: Request) -> Response:
    """This worker's metrics; with several workers, those of all of them together.

    Who takes OpenMetrics gets it, with exemplars where requests are traced.
    """
    is_open = takes_open(request.headers.get("accept"))
    body = runtime_of(request).metrics.render(is_open)
    return Response(body, headers={"Content-Type": content_type(is_open)})


_EXPOSITION = {
    "description": "Prometheus' text exposition format, or OpenMetrics for who takes it.",
    "content": {
        "text/plain": {"schema": {"type": "string"}},
        "application/openmetrics-text": {"schema": {"type": "string"}},
    },
}
routes = [
    RawRoute("/livez", get_livez, needs=None, summary="Is the process alive?", tags=["operation"]),
    RawRoute(
        "/readyz",
        get_readyz,
        needs=None,
        summary="Can it answer?",
        tags=["operation"],
        responses={503: PROBLEM_503},
    ),
    RawRoute("/version", get_version, needs=None, summary="What is running?", tags=["operation"]),
    RawRoute(
        "/metrics",
        get_metrics,
        needs="metrics",
        summary="Prometheus metrics",
        tags=["operation"],
        responses={200: _EXPOSITION, **KEY_PROBLEMS},
    ),
]
